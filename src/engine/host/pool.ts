// The workers, one per device, and what runs on each. It knows places, not the queue in front of them.

import { join } from 'node:path';
import type { EmbeddingInfo, SafetyMode } from '../../model-facts.js';
import { mostFolded, rowBudgetFor } from '../shared/capacity.js';
import type { ExitCause } from '../shared/faults.js';
import type { FromWorker, LoraEntry } from '../shared/messages.js';
import { type AdmittedJob, remainingMs, runsAlone } from './admitted-job.js';
import { type CatalogueEntry, digestsOf, mergeCatalogues } from './catalogue.js';
import {
  type Device,
  deviceModule,
  type Gpu,
  parseDevices,
  threadsPerWorker,
  type UnusedGpus,
  unusedGpus,
} from './devices.js';
import { Folds } from './folds.js';
import { freeMemory, machineMemory } from './memory.js';
import { WorkerMemory } from './worker-memory.js';
import { WorkerProcess } from './worker-process.js';

export interface PoolSettings {
  readonly modelsDir: string;
  /** Of textual inversions; absent for `embeddings` in the folder of models. */
  readonly embeddingsDir?: string | undefined;
  /** The model of requests that name none; absent where none is chosen. */
  readonly defaultModel?: string | undefined;
  /** Absent for `loras` in the folder of models. */
  readonly lorasDir?: string | undefined;
  /** Where patched graphs are kept. */
  readonly cacheDir: string;
  /** As parseDevices reads it. */
  readonly devices: string;
  /** Per worker; absent for as many as the cores allow. */
  readonly threads: number | undefined;
  /** Requests that run on one worker at the same time; absent for as many as it measures to be worthwhile. */
  readonly maxConcurrent: number | undefined;
  /** A worker that does not end a step in this time is replaced. */
  readonly stepTimeoutMs: number;
  /** Bytes of weights that each worker may have loaded; absent for half of the free memory, shared out. */
  readonly modelMemoryBytes: number | undefined;
  /** What safety checkers are for; `off` if absent. */
  readonly safety?: SafetyMode | undefined;
  /** As ModelStore.preload takes it; absent for the default model alone. */
  readonly preload?: 'auto' | readonly string[] | undefined;
  /** Of one request; absent where there is no limit. */
  readonly maxSteps?: number | undefined;
  /** What is known of the GPUs; absent without one. */
  readonly gpus?: { readonly gpus: readonly Gpu[]; freeBytes(gpu: string): number | undefined } | undefined;
  /** As deviceModule reads it; absent outside of tests. */
  readonly workerModule: string | undefined;
}

/** A worker and the jobs that run on it, by id. */
export interface Lane {
  readonly index: number;
  readonly worker: WorkerProcess;
  readonly jobs: Map<number, AdmittedJob>;
  readonly memory: WorkerMemory;
  /** What the worker last said of the model folders. */
  models: readonly CatalogueEntry[];
  /** And of textual inversions. */
  embeddings: readonly EmbeddingInfo[];
  /** And of the folder of LoRAs. */
  loras: readonly LoraEntry[];
  /** Why the worker found none. */
  problem: string | undefined;
}

export interface PoolEvents {
  message(lane: Lane, message: FromWorker): void;
  /** The lane's worker ended, unasked; its jobs are still on it. */
  exit(lane: Lane, cause: ExitCause): void;
  stderr(lane: Lane, line: string): void;
}

/** After this many failed starts in a row a worker is not waited for any more. */
const hopelessStarts = 3;
/** A job at most so long, against what is left of those that run, need not wait for them: it takes turns with them. */
const shortShare = 1 / 8;
/** What loading a model counts for when a worker is chosen, ms. */
const loadPenaltyMs = 10_000;

export class Pool {
  readonly lanes: readonly Lane[];
  readonly folds = new Folds(mostFolded);
  readonly unusedGpus: UnusedGpus | undefined;

  /** @throws Error with a sentence for devices that cannot be read */
  constructor(
    private readonly settings: PoolSettings,
    events: PoolEvents,
  ) {
    const devices = parseDevices(settings.devices, settings.gpus?.gpus);
    this.unusedGpus = unusedGpus(settings.devices, devices, settings.gpus?.gpus);
    const threads = threadsPerWorker(settings.threads, devices);
    const module = deviceModule(settings.workerModule);
    const {
      modelsDir,
      defaultModel,
      lorasDir = join(settings.modelsDir, 'loras'),
      cacheDir,
      maxConcurrent,
      stepTimeoutMs,
      maxSteps,
      preload = [],
      safety = 'off',
    } = settings;
    const sharing = devices.filter(({ gpu }) => gpu === undefined).length;
    this.lanes = devices.map((device, index) => {
      const worker = new WorkerProcess(
        device,
        () => ({
          modelsDir,
          embeddingsDir: settings.embeddingsDir ?? join(modelsDir, 'embeddings'),
          defaultModel,
          lorasDir,
          cacheDir,
          threads,
          maxSteps,
          preload,
          safety,
          measureRows: maxConcurrent === undefined,
          modelMemoryBytes:
            settings.modelMemoryBytes ?? this.freeOf(device) / 2 / (device.gpu === undefined ? sharing : 1),
          weightLimits: {
            machine: device.gpu === undefined ? machineMemory() : undefined,
            budget: settings.modelMemoryBytes,
          },
          module,
          digests: digestsOf(this.models),
          loraDigests: digestsOf(this.loras),
        }),
        {
          message: (message) => events.message(lane, message),
          exit: (cause) => events.exit(lane, cause),
          stderr: (line) => events.stderr(lane, line),
        },
        stepTimeoutMs,
      );
      const memory = new WorkerMemory(
        () => worker.freeMemoryBytes ?? this.freeOf(device),
        () => worker.grownBytes,
      );
      const lane: Lane = {
        ...{ index, worker, jobs: new Map(), memory, models: [], embeddings: [], loras: [], problem: undefined },
      };
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

  get loras(): LoraEntry[] {
    return mergeCatalogues(this.lanes.map((lane) => lane.loras));
  }

  /** Bytes that a device can still give: its GPU's, or the machine's. */
  freeOf({ gpu }: Device): number {
    return (gpu === undefined ? undefined : this.freeGpuMemory(gpu)) ?? freeMemory();
  }

  /** undefined where nobody tells. */
  freeGpuMemory(gpu: string): number | undefined {
    return this.settings.gpus?.freeBytes(gpu);
  }

  /** Jobs that can run at the same time. */
  get slots(): number {
    return this.lanes.reduce((sum, lane) => sum + this.slotsOf(lane), 0);
  }

  get inFlight(): number {
    return this.lanes.reduce((sum, { jobs }) => sum + jobs.size, 0);
  }

  get hasReadyWorker(): boolean {
    return this.lanes.some(({ worker }) => worker.state === 'ready');
  }

  get isHopeless(): boolean {
    return this.lanes.every(({ worker }) => worker.state !== 'ready' && worker.failedStarts >= hopelessStarts);
  }

  /** Guided requests of the native size that a worker runs at the same time; others count by their rows. */
  slotsOf(lane: Lane): number {
    const { maxConcurrent } = this.settings;
    if (maxConcurrent !== undefined) return maxConcurrent;
    const loaded = lane.models.find((model) => model.runnable && model.capacities);
    if (!loaded?.runnable) return 1;
    const { native } = loaded.size;
    return Math.max(1, Math.floor(rowBudgetFor(loaded.capacities ?? [], native, native) / 2));
  }

  /**
   * The ready worker with room for a job that has the least to do.
   * @param hasMemory whether a worker has the memory that the job needs now; where no job runs, it is tried without
   */
  laneFor(job: AdmittedJob, hasMemory: (lane: Lane) => boolean): Lane | undefined {
    const now = performance.now();
    const cost = new Map<Lane, number>();
    for (const lane of this.lanes) {
      if (lane.worker.state !== 'ready' || !this.hasRoom(lane, job, now)) continue;
      const work = [...lane.jobs.values()].reduce((sum, other) => sum + remainingMs(other, now), 0);
      cost.set(lane, work + (this.isLoaded(lane, job) ? 0 : loadPenaltyMs));
    }
    const lanes = [...cost.keys()].sort((a, b) => cost.get(a)! - cost.get(b)!);
    return lanes.find(hasMemory) ?? (this.inFlight === 0 ? lanes[0] : undefined);
  }

  private hasRoom(lane: Lane, job: AdmittedJob, now: number): boolean {
    const others = [...lane.jobs.values()];
    if (others.length === 0) return true;
    if (runsAlone(job) || others.some(runsAlone)) return false;
    return this.fits(lane, others, job) || isShort(job, others, now);
  }

  private fits(lane: Lane, others: readonly AdmittedJob[], job: AdmittedJob): boolean {
    const { maxConcurrent } = this.settings;
    if (maxConcurrent !== undefined) return others.length < maxConcurrent;
    const model = lane.models.find(({ name }) => name === job.message.model);
    const { width, height } = job.message.request.pixels;
    const budget = rowBudgetFor((model?.runnable && model.capacities) || [], width, height);
    return others.reduce((sum, other) => sum + other.rows, job.rows) <= budget;
  }

  private isLoaded(lane: Lane, { message }: AdmittedJob): boolean {
    const loaded = lane.models.some((model) => model.name === message.model && model.runnable && model.loaded);
    return loaded && this.folds.has(lane.index, message);
  }
}

/** One at a time, and only beside longer ones: they are slowed down for a moment, not starved. */
function isShort(job: AdmittedJob, others: readonly AdmittedJob[], now: number): boolean {
  return job.work > 0 && others.every((other) => job.work <= shortShare * remainingMs(other, now));
}
