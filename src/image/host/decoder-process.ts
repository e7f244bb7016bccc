// A process that decodes one picture at a time, as the HTTP process sees it: started when it is needed, killed when a picture
// takes too long, and started anew for the next one.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Decoded, FromDecoder, Task, Work } from '../shared/messages.js';
import { PictureError } from '../shared/picture-error.js';

/** One that kept more than this of a picture is replaced: WebAssembly gives nothing back. */
const keptBytes = 256 * 1024 * 1024;
const startTimeoutMs = 60_000;
const lastWordsBytes = 2000;
const neverStarted = 'The process that decodes pictures could not be started.';

export interface DecoderEnd {
  readonly pid: number | undefined;
  readonly cause: string;
}

/** The process ended, and the picture is not known to be why. */
export class DecoderLost extends Error {}

export class DecoderProcess {
  private child: ChildProcess | undefined;
  private ready: Promise<void> | undefined;
  private lastWords = '';
  /** What we killed it for, which is no news then. */
  private killedFor: string | undefined;
  private waiting: { resolve(message: FromDecoder): void; reject(error: Error): void } | undefined;

  /** @param ended is told of each end that nobody asked for */
  constructor(private readonly ended: (end: DecoderEnd) => void) {}

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /**
   * @param signal ends the process when it aborts
   * @throws PictureError for a picture that is damaged, or takes more time or memory than it may; DecoderLost
   */
  async run<W extends Work>(task: Task<W>, timeoutMs: number, signal: AbortSignal | undefined): Promise<Decoded<W>> {
    await this.start();
    const child = this.child;
    if (!child) throw new DecoderLost('The process that decodes pictures ended.');
    const kill = (reason: string) => {
      this.killedFor = reason;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => kill('time'), timeoutMs);
    const onAbort = () => kill('abort');
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const message = await this.answerTo(child, task);
      if (message.type === 'ready') throw new DecoderLost('The process that decodes pictures spoke out of turn.');
      if (message.memoryBytes > keptBytes) this.retire();
      if (message.type === 'failed') throw new PictureError(message.code, message.message);
      return message.result as Decoded<W>;
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (this.killedFor !== 'time') throw error;
      const sentence = `Decoding the picture took longer than ${timeoutMs} ms; at most that is given (DECODE_TIMEOUT_MS).`;
      throw new PictureError('undecodable_picture', sentence);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      this.killedFor = undefined;
    }
  }

  async close(): Promise<void> {
    const child = this.child;
    if (!child) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    this.retire();
    await exited;
  }

  /** @throws DecoderLost, whatever ended it: it has seen no picture yet */
  start(): Promise<void> {
    if (this.ready) return this.ready;
    let child: ChildProcess;
    try {
      child = this.fork();
    } catch (error) {
      this.ended({ pid: undefined, cause: String(error) }); // such as ENOMEM; others are told as an event
      return Promise.reject(new DecoderLost(neverStarted));
    }
    this.child = child;
    this.lastWords = '';
    // Where this process has no descriptors left, there is none.
    child.stderr?.on('data', (chunk: Buffer) => {
      this.lastWords = `${this.lastWords}${chunk}`.slice(-lastWordsBytes);
    });
    child.on('message', (message) => {
      this.waiting?.resolve(message as FromDecoder);
      this.waiting = undefined;
    });
    child.on('error', (error) => this.lost(child, `it could not be started: ${error.message}`));
    // Not 'exit': what it wrote last is read by then.
    child.on('close', (code, signal) => this.lost(child, signal ?? `exit code ${code}`));
    const timer = setTimeout(() => child.kill('SIGKILL'), startTimeoutMs);
    this.ready = new Promise<FromDecoder>((resolve, reject) => {
      this.waiting = { resolve, reject: () => reject(new DecoderLost(neverStarted)) };
    })
      .then(() => {})
      .finally(() => clearTimeout(timer));
    return this.ready;
  }

  private fork(): ChildProcess {
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.')); // .ts under a loader, .js when compiled
    return fork(fileURLToPath(new URL(`../worker/worker${extension}`, import.meta.url)), {
      serialization: 'advanced', // raw bytes for pictures
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: decoderEnvironment(),
    });
  }

  private answerTo(child: ChildProcess, task: Task): Promise<FromDecoder> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      child.send(task, (error) => error && child.kill('SIGKILL'));
    });
  }

  /** Lets go of a process that has nothing to do. */
  private retire(): void {
    const child = this.child;
    this.child = undefined;
    this.ready = undefined;
    child?.kill('SIGKILL');
  }

  private lost(child: ChildProcess, cause: string): void {
    if (this.child !== child) return;
    const { waiting, lastWords } = this;
    this.child = undefined;
    this.ready = undefined;
    this.waiting = undefined;
    if (!this.killedFor) this.ended({ pid: child.pid, cause: `${cause} ${lastWords.trim()}`.trim() });
    // Who has no memory left aborts in one way or another; who is killed has met somebody else.
    const wasKilled = cause === 'SIGKILL' || cause === 'SIGTERM' || this.killedFor !== undefined;
    const sentence =
      'The picture is damaged, or takes more memory than its header says: decoding it ended its process.';
    waiting?.reject(
      wasKilled
        ? new DecoderLost('The process that decodes pictures ended.')
        : new PictureError('undecodable_picture', sentence),
    );
  }
}

function decoderEnvironment(): NodeJS.ProcessEnv {
  const { API_KEYS: _, ...environment } = process.env;
  return {
    ...environment,
    MALLOC_ARENA_MAX: '2', // else each thread keeps what it once had
    MALLOC_MMAP_THRESHOLD_: '131072', // what is freed goes back
    UV_THREADPOOL_SIZE: '2',
  };
}
