// A worker as the HTTP process sees it: a child process that is forked, watched, and forked again with backoff when it ends.

import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Device } from './devices.js';
import type { FromWorker, StartMessage, ToWorker } from './messages.js';

const backoffMs = { first: 200, max: 30_000 };
/** A worker that was ready for this long starts again at the first backoff. */
const healthyMs = 10_000;

export interface WorkerEvents {
  message(message: FromWorker): void;
  /** The process ended, unasked. */
  exit(cause: string): void;
  /** A line that the process wrote to stderr, onnxruntime's log among them. */
  stderr(line: string): void;
}

export class WorkerProcess {
  state: 'starting' | 'ready' | 'down' = 'down';
  restarts = 0;
  /** Ends in a row without a healthy time between them. */
  failures = 0;
  private child: ChildProcess | undefined;
  private readyAt = 0;
  private restartTimer: NodeJS.Timeout | undefined;
  private closing = false;

  constructor(
    readonly device: Device,
    private readonly settings: () => Omit<StartMessage, 'type' | 'provider'>,
    private readonly events: WorkerEvents,
  ) {}

  get pid(): number | undefined {
    return this.child?.pid;
  }

  start(): void {
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.')); // .ts under a loader, .js when compiled
    const child = fork(fileURLToPath(new URL(`./worker${extension}`, import.meta.url)), {
      serialization: 'advanced', // raw bytes for pictures; the default JSON is thirty times slower
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: workerEnvironment(this.device),
    });
    this.child = child;
    this.state = 'starting';
    child.on('message', (message) => this.receive(message as FromWorker));
    child.on('error', (error) => {
      this.events.stderr(error.message);
      if (child.pid === undefined) this.ended(error.message); // never started: there will be no exit
    });
    child.on('exit', (code, signal) => this.ended(signal ?? `exit code ${code}`));
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => line.trim() !== '' && this.events.stderr(line));
    }
    const { provider } = this.device;
    this.send({ type: 'start', provider, ...this.settings() });
  }

  send(message: ToWorker): void {
    // A message to a process that just ended is lost; its exit event follows and settles what was sent.
    if (this.child?.connected) this.child.send(message, () => {});
  }

  /** Ends the process for good. A model run cannot be interrupted otherwise. */
  async close(): Promise<void> {
    this.closing = true;
    clearTimeout(this.restartTimer);
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }

  private receive(message: FromWorker): void {
    if (message.type === 'ready') {
      this.state = 'ready';
      this.readyAt = performance.now();
    }
    this.events.message(message);
  }

  private ended(cause: string): void {
    const wasHealthy = this.state === 'ready' && performance.now() - this.readyAt > healthyMs;
    this.state = 'down';
    if (this.closing) return;
    this.failures = wasHealthy ? 1 : this.failures + 1;
    this.restarts++;
    const delay = Math.min(backoffMs.first * 2 ** (this.failures - 1), backoffMs.max);
    this.restartTimer = setTimeout(() => this.start(), delay);
    this.events.exit(cause);
  }
}

function workerEnvironment(device: Device): NodeJS.ProcessEnv {
  const { API_KEYS: _, ...environment } = process.env;
  return {
    ...environment,
    ORT_DISABLE_TELEMETRY: '1',
    MALLOC_MMAP_THRESHOLD_: '131072', // glibc then gives the memory of released sessions back
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    CUDA_VISIBLE_DEVICES: device.gpu === undefined ? '' : String(device.gpu), // a worker sees only its device
  };
}
