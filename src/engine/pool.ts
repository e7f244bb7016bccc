// The workers, one per device, and what runs on each. It knows places, not the queue in front of them.

import { type CatalogueEntry, digestsOf, mergeCatalogues } from './catalogue.js';
import { parseDevices, threadsPerWorker } from './devices.js';
import type { FromWorker } from './messages.js';
import { WorkerProcess } from './worker-process.js';

export interface PoolSettings {
  readonly modelsDir: string;
  /** Where patched graphs are kept. */
  readonly cacheDir: string;
  /** As parseDevices reads it. */
  readonly devices: string;
  /** Per worker; absent for as many as the cores allow. */
  readonly threads: number | undefined;
  /** Requests that run on one worker at the same time. */
  readonly maxConcurrent: number;
}

/** A worker and the jobs that run on it, by id. */
export interface Lane<Job> {
  readonly index: number;
  readonly worker: WorkerProcess;
  readonly jobs: Map<number, Job>;
  /** What the worker last said of the model folders. */
  models: readonly CatalogueEntry[];
}

export interface PoolEvents<Job> {
  message(lane: Lane<Job>, message: FromWorker): void;
  /** The lane's worker ended, unasked; its jobs are still on it. */
  exit(lane: Lane<Job>, cause: string): void;
  stderr(lane: Lane<Job>, line: string): void;
}

/** After this many ends in a row a worker is not waited for any more. */
const hopelessFailures = 3;

export class Pool<Job> {
  readonly lanes: readonly Lane<Job>[];

  /** @throws Error with a sentence for devices that cannot be read */
  constructor(
    private readonly settings: PoolSettings,
    events: PoolEvents<Job>,
  ) {
    const devices = parseDevices(settings.devices);
    const threads = threadsPerWorker(settings.threads, devices);
    const { modelsDir, cacheDir, maxConcurrent } = settings;
    this.lanes = devices.map((device, index) => {
      const worker = new WorkerProcess(
        device,
        () => ({ modelsDir, cacheDir, threads, maxConcurrent, digests: digestsOf(this.models) }),
        {
          message: (message) => events.message(lane, message),
          exit: (cause) => events.exit(lane, cause),
          stderr: (line) => events.stderr(lane, line),
        },
      );
      const lane: Lane<Job> = { index, worker, jobs: new Map(), models: [] };
      return lane;
    });
  }

  start(): void {
    for (const { worker } of this.lanes) worker.start();
  }

  async close(): Promise<void> {
    await Promise.all(this.lanes.map(({ worker }) => worker.close()));
  }

  get models(): CatalogueEntry[] {
    return mergeCatalogues(this.lanes.map((lane) => lane.models));
  }

  /** Jobs that can run at the same time. */
  get slots(): number {
    return this.lanes.length * this.settings.maxConcurrent;
  }

  get inFlight(): number {
    return this.lanes.reduce((sum, { jobs }) => sum + jobs.size, 0);
  }

  get hasReadyWorker(): boolean {
    return this.lanes.some(({ worker }) => worker.state === 'ready');
  }

  get isHopeless(): boolean {
    return this.lanes.every(({ worker }) => worker.state !== 'ready' && worker.failures >= hopelessFailures);
  }

  /** The ready worker with the least on it, if it has room. */
  freeLane(): Lane<Job> | undefined {
    return this.lanes
      .filter(({ worker, jobs }) => worker.state === 'ready' && jobs.size < this.settings.maxConcurrent)
      .sort((a, b) => a.jobs.size - b.jobs.size)[0];
  }
}
