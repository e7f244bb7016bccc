// The engine's handle, in the HTTP process: a bounded queue in front of one worker per device.
// No HTTP, no pictures' formats, no maths. Everything that a request can meet here is an EngineError.

import { EventEmitter } from 'node:events';
import type { Img2ImgRequest } from '../pipeline/img2img.js';
import type { Pixels } from '../pixels.js';
import { type CatalogueEntry, findModel } from './catalogue.js';
import { EngineError } from './errors.js';
import type { FromWorker, ModelInfo, Result } from './messages.js';
import { type Lane, Pool, type PoolSettings } from './pool.js';

export { type Kind, kinds } from '../pipeline/family.js';
export type { Img2ImgRequest } from '../pipeline/img2img.js';
export { createSchedule, type Schedule, type SchedulerName, schedulerNames } from '../pipeline/schedulers/index.js';
export { UnsupportedSchedulerError } from '../pipeline/schedulers/schedule.js';
export type { CatalogueEntry } from './catalogue.js';
export { EngineError, type EngineErrorCode } from './errors.js';
export type { ModelInfo, Result } from './messages.js';

export interface EngineSettings extends PoolSettings {
  /** Requests that may wait, beyond those that run. */
  readonly maxQueue: number;
}

/** One picture to make: an ordinary request of the batch. */
export interface Job {
  readonly model: string;
  readonly request: Img2ImgRequest;
}

/** What is known of a job before its starter is decoded: enough to tell its place and its cost. */
export interface PlannedJob {
  readonly model: string;
  readonly request: Omit<Img2ImgRequest, 'pixels'> & { readonly pixels: Pick<Pixels, 'width' | 'height'> };
}

export interface GenerateOptions {
  /** Its reason, an EngineError, is what the promise rejects with; the device stops at the next step. */
  readonly signal: AbortSignal;
  /** When the answer is worth nothing any more, on the clock of performance.now(), ms. */
  readonly deadline?: number;
  /** Who asks, where keys tell callers apart. */
  readonly caller?: string | undefined;
  /** Wants small previews with the progress, from models that can make them. */
  readonly preview?: boolean;
  readonly onProgress?: (progress: Progress) => void;
}

export type Progress =
  /** How many jobs are before the first of this request, itself included, and how long it is likely to wait. */
  | { readonly phase: 'queued'; readonly position: number; readonly estimatedWaitMs: number }
  /** `step` of `steps` is done of the job at index `job`. */
  | {
      readonly phase: 'running';
      readonly job: number;
      readonly step: number;
      readonly steps: number;
      readonly preview?: Pixels;
    };

/** What a request would meet if it came now. */
export interface Estimate {
  readonly waitMs: number;
  readonly durationMs: number;
  /** Of the device, while the request runs; undefined where nothing was measured. */
  readonly memoryBytes: number | undefined;
}

export interface Generated extends Result {
  readonly queueMs: number;
  /** What equality of bytes can be expected of: runtime and device. */
  readonly fingerprint: string;
  /** Index of the worker that made it. */
  readonly worker: number;
}

export interface EngineEvents {
  step: [{ model: string; rows: number; ms: number }];
  cancelled: [{ phase: 'queued' | 'running'; reason: 'client_gone' | 'deadline' | 'shutdown' }];
  ready: [{ worker: number; device: string; pid: number | undefined; models: readonly CatalogueEntry[] }];
  workerExit: [{ worker: number; device: string; pid: number | undefined; cause: string; requests: number }];
  workerLog: [{ device: string; line: string }];
}

export interface EngineStatus {
  readonly ready: boolean;
  /** Why not ready. */
  readonly reason: string | undefined;
  readonly queueDepth: number;
  readonly inFlight: number;
  readonly slots: number;
  readonly queueLimit: number;
  readonly workers: readonly { device: string; pid: number | undefined; up: boolean; restarts: number }[];
}

/** A job in the engine. Those of one request live and die together. */
interface Task extends Job {
  readonly id: number;
  readonly queuedAt: number;
  readonly wantsProgress: boolean;
  readonly preview: boolean;
  readonly resolve: (result: Generated) => void;
  readonly reject: (error: EngineError) => void;
  readonly progressed: (progress: { step: number; steps: number; preview?: Pixels }) => void;
  /** Set while it runs. */
  startedAt: number;
}

export class Engine extends EventEmitter<EngineEvents> {
  private readonly pool: Pool<Task>;
  private readonly waiting: Task[] = [];
  private onnxruntime = '';
  private nextId = 1;
  /** Running mean of how long a request is on its device, ms. Undefined until one was. */
  private serviceMs: number | undefined;
  private closed = false;

  /** @throws Error with a sentence for devices that cannot be read */
  constructor(private readonly settings: EngineSettings) {
    super();
    this.pool = new Pool(settings, {
      message: (lane, message) => this.receive(lane, message),
      exit: (lane, cause) => this.lost(lane, cause),
      stderr: ({ worker }, line) => this.emit('workerLog', { device: worker.device.name, line }),
    });
  }

  start(): void {
    this.pool.start();
  }

  /** All folders in MODELS_DIR, those that cannot run with the reason. Empty until a worker has looked. */
  get models(): readonly CatalogueEntry[] {
    return this.pool.models;
  }

  /**
   * The model of that name, or the first that runs.
   * @throws EngineError model_not_found, model_not_runnable, not_ready
   */
  model(name?: string): ModelInfo {
    const { models } = this;
    if (!models.some((model) => model.runnable)) throw this.notReady();
    return findModel(models, name);
  }

  /**
   * Makes the pictures of one request, after the requests that came before it. The jobs are admitted or refused together,
   * and each is then an ordinary request of the batch; when one of them fails or is aborted, so are the others.
   * @returns one picture per job, in their order
   */
  async generate(jobs: readonly Job[], options: GenerateOptions): Promise<Generated[]> {
    const { signal } = options;
    if (signal.aborted) throw signal.reason;
    this.assertRoom(jobs);
    const tasks: Task[] = [];
    const pictures = jobs.map(
      (job, index) =>
        new Promise<Generated>((resolve, reject) => {
          tasks.push({
            ...job,
            id: this.nextId++,
            queuedAt: performance.now(),
            startedAt: 0,
            wantsProgress: options.onProgress !== undefined,
            preview: options.preview ?? false,
            resolve,
            reject,
            progressed: (progress) => options.onProgress?.({ phase: 'running', job: index, ...progress }),
          });
        }),
    );
    const onAbort = () => this.abort(tasks, signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.waiting.push(...tasks);
    this.dispatch();
    const position = this.waiting.indexOf(tasks[0]!) + 1;
    if (position > 0)
      options.onProgress?.({ phase: 'queued', position, estimatedWaitMs: this.estimatedWaitMs(position) });
    try {
      return await Promise.all(pictures);
    } catch (error) {
      this.abort(tasks, error as EngineError);
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** What these jobs would meet if they came now. */
  estimate(jobs: readonly PlannedJob[]): Estimate {
    const waitMs = this.pool.freeLane() ? 0 : this.estimatedWaitMs(this.waiting.length + 1);
    return { waitMs, durationMs: (jobs.length * (this.serviceMs ?? 1000)) / this.pool.slots, memoryBytes: undefined };
  }

  /**
   * Fails where generate would, so that nothing is read or decoded for a request that has no place.
   * @param jobs absent while nothing is known of them: then it is asked for one place
   * @throws EngineError not_ready, shutting_down, overloaded with the seconds until a place is likely
   */
  assertRoom(jobs?: readonly PlannedJob[]): void {
    const refusal = this.refusal(jobs?.length ?? 1);
    if (refusal) throw refusal;
  }

  get status(): EngineStatus {
    const { lanes, slots, inFlight, hasReadyWorker, models } = this.pool;
    const ready = hasReadyWorker && models.some((model) => model.runnable);
    return {
      ready,
      reason: ready ? undefined : this.notReady().message,
      queueDepth: this.waiting.length,
      inFlight,
      slots,
      queueLimit: this.settings.maxQueue,
      workers: lanes.map(({ worker }) => ({
        device: worker.device.name,
        pid: worker.pid,
        up: worker.state === 'ready',
        restarts: worker.restarts,
      })),
    };
  }

  /** Ends the workers. What waits or runs is refused. */
  async close(): Promise<void> {
    this.closed = true;
    const error = new EngineError('shutting_down', 'The server shuts down.', 1);
    for (const job of this.waiting.splice(0)) this.cutOff(job, 'queued', error);
    for (const { jobs } of this.pool.lanes) for (const job of jobs.values()) this.cutOff(job, 'running', error);
    await this.pool.close();
  }

  /** How long the job at a position of the queue has to wait. */
  private estimatedWaitMs(position: number): number {
    const ahead = position - 1 + this.pool.inFlight;
    return (ahead * (this.serviceMs ?? 1000)) / this.pool.slots;
  }

  /** A request with more jobs than the queue has places is taken when nothing waits. */
  private refusal(jobs: number): EngineError | undefined {
    if (this.closed || this.pool.isHopeless) return this.notReady();
    const places = this.settings.maxQueue - this.waiting.length;
    if (this.waiting.length === 0 ? this.pool.freeLane() || places > 0 : places >= jobs) return undefined;
    const detail = `The queue is full: ${this.waiting.length} requests wait already, which is the limit.`;
    const seconds = Math.max(1, Math.ceil(this.estimatedWaitMs(this.waiting.length + 1) / 1000));
    return new EngineError('overloaded', detail, seconds);
  }

  private dispatch(): void {
    for (let lane = this.pool.freeLane(); lane; lane = this.pool.freeLane()) {
      const task = this.waiting.shift();
      if (!task) return;
      task.startedAt = performance.now();
      lane.jobs.set(task.id, task);
      const { id, model, request, wantsProgress, preview } = task;
      lane.worker.send({ type: 'generate', id, model, request, wantsProgress, preview });
    }
  }

  /** Those that are over are left as they are. */
  private abort(tasks: readonly Task[], error: EngineError): void {
    const reason = error.code === 'deadline_exceeded' ? 'deadline' : 'client_gone';
    for (const task of tasks) {
      const queued = this.waiting.indexOf(task);
      const lane = this.pool.lanes.find(({ jobs }) => jobs.has(task.id));
      if (queued >= 0) this.waiting.splice(queued, 1);
      // A running one keeps its slot until the worker says that it has let go of it.
      else if (lane) lane.worker.send({ type: 'abort', id: task.id });
      else continue;
      this.emit('cancelled', { phase: queued >= 0 ? 'queued' : 'running', reason });
      task.reject(error);
    }
  }

  private cutOff(task: Task, phase: 'queued' | 'running', error: EngineError): void {
    this.emit('cancelled', { phase, reason: 'shutdown' });
    task.reject(error);
  }

  private receive(lane: Lane<Task>, message: FromWorker): void {
    switch (message.type) {
      case 'models':
        lane.models = message.models;
        this.onnxruntime = message.onnxruntime;
        return;
      case 'ready':
        this.emit('ready', {
          worker: lane.index,
          device: lane.worker.device.name,
          pid: lane.worker.pid,
          models: this.models,
        });
        this.dispatch();
        return;
      case 'model':
        lane.models = lane.models.map((info) => (info.name === message.model.name ? message.model : info));
        return;
      case 'step':
        this.emit('step', message);
        return;
    }
    const job = lane.jobs.get(message.id);
    if (!job) return;
    if (message.type === 'progress') {
      job.progressed(message.progress);
      return;
    }
    lane.jobs.delete(job.id);
    switch (message.type) {
      case 'done': {
        const ms = performance.now() - job.startedAt;
        this.serviceMs = this.serviceMs === undefined ? ms : 0.8 * this.serviceMs + 0.2 * ms;
        const { provider } = lane.worker.device;
        const fingerprint = `onnxruntime-${this.onnxruntime} ${provider} ${process.platform}-${process.arch}`;
        job.resolve({ ...message.result, queueMs: job.startedAt - job.queuedAt, fingerprint, worker: lane.index });
        break;
      }
      case 'failed':
        job.reject(new EngineError(message.code, message.message));
    }
    this.dispatch();
  }

  private lost({ index, worker, jobs }: Lane<Task>, cause: string): void {
    const lost = [...jobs.values()];
    jobs.clear();
    const { device, pid } = worker;
    this.emit('workerExit', { worker: index, device: device.name, pid, cause, requests: lost.length });
    for (const job of lost) {
      job.reject(new EngineError('worker_lost', 'The worker that ran this request ended; a new one starts.', 1));
    }
    if (this.pool.isHopeless) {
      for (const waiting of this.waiting.splice(0)) waiting.reject(this.notReady());
    }
  }

  private notReady(): EngineError {
    if (this.closed) return new EngineError('shutting_down', 'The server shuts down.', 1);
    if (this.pool.isHopeless) {
      return new EngineError('not_ready', 'No worker stays alive; the log says why.', 30);
    }
    if (this.pool.hasReadyWorker) {
      return new EngineError('not_ready', 'No model in this server can run; GET /models says why.', 30);
    }
    return new EngineError('not_ready', 'The models are being loaded.', 2);
  }
}
