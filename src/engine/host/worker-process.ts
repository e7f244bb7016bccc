// A worker as the HTTP process sees it: a child process that is forked, watched, and forked again with backoff when it ends.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Channel, channelFd } from '../shared/channel.js';
import type { ExitCause } from '../shared/faults.js';
import type { FromWorker, StartMessage, ToWorker } from '../shared/messages.js';
import { cgroup } from './cgroup.js';
import type { Device } from './devices.js';
import { eachLine } from './lines.js';
import { checkMessage } from './message-check.js';

const backoffMs = { first: 200, max: 30_000 };
/** A worker that was ready for this long starts again at the first backoff. */
const healthyMs = 10_000;
/** Reading, checking and loading gigabytes may take this long without a word. */
const loadTimeoutMs = 600_000;
/** Of a line of its log, characters. */
const longestLine = 10_000;

export interface WorkerEvents {
  message(message: FromWorker): void;
  /** The process ended, unasked. */
  exit(cause: ExitCause): void;
  /** A line that the process wrote to stderr, onnxruntime's log among them. */
  stderr(line: string): void;
}

export class WorkerProcess {
  state: 'starting' | 'ready' | 'down' = 'down';
  restarts = 0;
  /** Starts in a row that never came to ready. */
  failedStarts = 0;
  /** What its process had at its last report, bytes. */
  memoryBytes: number | undefined;
  /** The same when it was ready. */
  private readyBytes: number | undefined;
  /** What its device can still give, where only the worker knows, bytes. */
  freeMemoryBytes: number | undefined;
  /** Ends in a row without a healthy time between them. */
  private failures = 0;
  private lastWords: ExitCause | undefined;
  private oomKillsBefore = 0;
  /** Ends a process of which nothing is heard. */
  private watchdog: NodeJS.Timeout | undefined;
  private child: ChildProcess | undefined;
  private channel: Channel | undefined;
  private readyAt = 0;
  private restartTimer: NodeJS.Timeout | undefined;
  private closing = false;

  constructor(
    readonly device: Device,
    private readonly settings: () => Omit<StartMessage, 'type' | 'provider' | 'gpu'>,
    private readonly events: WorkerEvents,
    private readonly stepTimeoutMs: number,
  ) {}

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** What it has taken of its device's memory since it was ready, bytes; undefined where only the device could tell. */
  get grownBytes(): number | undefined {
    const isProcess = this.device.provider === 'cpu' && this.freeMemoryBytes === undefined;
    if (!isProcess || this.memoryBytes === undefined || this.readyBytes === undefined) return undefined;
    return Math.max(0, this.memoryBytes - this.readyBytes);
  }

  start(): void {
    this.state = 'starting';
    this.lastWords = undefined;
    this.oomKillsBefore = cgroup.oomKills();
    let child: ChildProcess;
    try {
      child = spawnWorker(this.device);
    } catch (error) {
      // Node throws what it has no event for, as that there is no memory for another process.
      const { message } = error as Error;
      [this.child, this.channel] = [undefined, undefined];
      this.events.stderr(message);
      setImmediate(() => this.ended({ reason: 'exit', detail: message }));
      return;
    }
    this.child = child;
    // Without descriptors left there is a process object that has no streams.
    const line = child.stdio?.[channelFd] as Duplex | undefined;
    this.channel =
      line &&
      new Channel(line, {
        message: (message) => this.receive(message),
        broken: (reason) => this.condemn(reason),
      });
    this.expectSignWithin(loadTimeoutMs);
    child.on('error', (error) => {
      this.events.stderr(error.message);
      if (child.pid === undefined) this.lastWords = { reason: 'exit', detail: error.message }; // never started
    });
    // Not exit: its last words may still be on their way then.
    child.on('close', (code, signal) => this.ended(this.causeOf(code, signal)));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) eachLine(stream, longestLine, (line) => line.trim() !== '' && this.events.stderr(line));
    }
    const { provider, gpu } = this.device;
    this.send({ type: 'start', provider, gpu, ...this.settings() });
  }

  send(message: ToWorker): void {
    // A message to a process that just ended is lost; its exit event follows and settles what was sent.
    this.channel?.send(message);
    if (message.type === 'generate') this.watchdog ?? this.expectSignWithin(this.stepTimeoutMs);
  }

  /** Ends a process that says what no worker says; a new one follows. */
  condemn(reason: string): void {
    if (this.lastWords) return;
    this.lastWords = { reason: 'protocol', detail: reason };
    this.child?.kill('SIGKILL');
  }

  /** Ends the process for good. A model run cannot be interrupted otherwise. */
  async close(): Promise<void> {
    this.closing = true;
    clearTimeout(this.restartTimer);
    clearTimeout(this.watchdog);
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }

  private receive(said: unknown): void {
    if (this.lastWords) return;
    const message = checkMessage(said);
    if (typeof message === 'string') {
      this.condemn(message);
      return;
    }
    switch (message.type) {
      case 'ready':
        this.state = 'ready';
        this.readyAt = performance.now();
        this.readyBytes = this.memoryBytes;
        this.failedStarts = 0;
        break;
      case 'busy':
        clearTimeout(this.watchdog);
        this.watchdog = undefined;
        if (message.doing !== 'nothing') {
          this.expectSignWithin(message.doing === 'load' ? loadTimeoutMs : this.stepTimeoutMs);
        }
        return;
      case 'fatal':
        this.lastWords = { reason: message.reason, detail: message.message };
        return;
      case 'memory':
        this.memoryBytes = message.bytes;
        this.freeMemoryBytes = message.freeBytes;
    }
    this.events.message(message);
  }

  private expectSignWithin(ms: number): void {
    const child = this.child;
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => {
      this.lastWords = { reason: 'hang', detail: `nothing was heard of it for ${ms} ms` };
      child?.kill('SIGKILL');
    }, ms);
  }

  private causeOf(code: number | null, signal: NodeJS.Signals | null): ExitCause {
    if (this.lastWords) return this.lastWords;
    if (signal === null) return { reason: 'exit', detail: `exit code ${code}` };
    const isOom = signal === 'SIGKILL' && cgroup.oomKills() > this.oomKillsBefore;
    return { reason: isOom ? 'oom' : 'signal', detail: signal };
  }

  private ended(cause: ExitCause): void {
    clearTimeout(this.watchdog);
    this.watchdog = undefined;
    this.memoryBytes = undefined;
    this.readyBytes = undefined;
    this.freeMemoryBytes = undefined;
    const wasHealthy = this.state === 'ready' && performance.now() - this.readyAt > healthyMs;
    if (this.state === 'starting') this.failedStarts++;
    this.state = 'down';
    if (this.closing) return;
    this.failures = wasHealthy ? 1 : this.failures + 1;
    this.restarts++;
    const delay = Math.min(backoffMs.first * 2 ** (this.failures - 1), backoffMs.max);
    this.restartTimer = setTimeout(() => this.start(), delay);
    this.events.exit(cause);
  }
}

function spawnWorker(device: Device): ChildProcess {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.')); // .ts under a loader, .js when compiled
  const entry = fileURLToPath(new URL(`../worker/worker${extension}`, import.meta.url));
  return spawn(process.execPath, [...process.execArgv, entry, String(process.pid)], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: workerEnvironment(device),
  });
}

function workerEnvironment(device: Device): NodeJS.ProcessEnv {
  const { API_KEYS: _, ...environment } = process.env;
  return {
    ...environment,
    ORT_DISABLE_TELEMETRY: '1',
    MALLOC_MMAP_THRESHOLD_: '131072', // glibc then gives the memory of released sessions back
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1', // in large pages where the system has them: a third less time to load a model
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    CUDA_VISIBLE_DEVICES: device.visible ?? '', // a worker sees only its device
  };
}
