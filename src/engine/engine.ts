// The engine's handle, in the HTTP process: a bounded queue in front of one worker per device.
// No HTTP, no pictures' formats, no maths. Everything that a request can meet here is an EngineError.

import { EventEmitter } from 'node:events';
import type { Img2ImgRequest } from '../pipeline/img2img.js';
import { type CatalogueEntry, findModel } from './catalogue.js';
import { EngineError } from './errors.js';
import type { FromWorker, ModelInfo, Result } from './messages.js';
import { type Lane, Pool, type PoolSettings } from './pool.js';

export { type Img2ImgRequest, stepsToRun } from '../pipeline/img2img.js';
export { type SchedulerName, schedulerNames } from '../pipeline/schedulers/index.js';
export type { CatalogueEntry } from './catalogue.js';
export { EngineError, type EngineErrorCode } from './errors.js';
export type { ModelInfo, Result } from './messages.js';

export interface EngineSettings extends PoolSettings {
  /** Requests that may wait, beyond those that run. */
  readonly maxQueue: number;
}

export interface Generated extends Result {
  readonly queueMs: number;
  /** What equality of bytes can be expected of: runtime and device. */
  readonly fingerprint: string;
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

interface Job {
  readonly id: number;
  readonly model: string;
  readonly request: Img2ImgRequest;
  readonly queuedAt: number;
  readonly resolve: (result: Generated) => void;
  readonly reject: (error: EngineError) => void;
  /** Set while it runs. */
  startedAt: number;
}

export class Engine extends EventEmitter<EngineEvents> {
  private readonly pool: Pool<Job>;
  private readonly waiting: Job[] = [];
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
   * Runs a request, after those that came before it.
   * @param signal its reason, an EngineError, is what the promise rejects with; the device stops at the next step
   */
  generate(model: string, request: Img2ImgRequest, signal: AbortSignal): Promise<Generated> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const refusal = this.refusal();
      if (refusal) return reject(refusal);
      const onAbort = () => this.abort(job, signal.reason);
      const job: Job = {
        id: this.nextId++,
        model,
        request,
        queuedAt: performance.now(),
        startedAt: 0,
        resolve: (result) => {
          signal.removeEventListener('abort', onAbort);
          resolve(result);
        },
        reject: (error) => {
          signal.removeEventListener('abort', onAbort);
          reject(error);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.waiting.push(job);
      this.dispatch();
    });
  }

  /**
   * Fails where generate would, so that nothing is decoded for a request that has no place.
   * @throws EngineError not_ready, shutting_down, overloaded with the seconds until a place is likely
   */
  assertRoom(): void {
    const refusal = this.refusal();
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

  /** How long a request that comes now would wait, in whole seconds, at least 1. */
  private get estimatedWaitSeconds(): number {
    const ahead = this.waiting.length + this.pool.inFlight;
    return Math.max(1, Math.ceil((ahead * (this.serviceMs ?? 1000)) / this.pool.slots / 1000));
  }

  private refusal(): EngineError | undefined {
    if (this.closed || this.pool.isHopeless) return this.notReady();
    if (this.pool.freeLane() || this.waiting.length < this.settings.maxQueue) return undefined;
    const detail = `The queue is full: ${this.waiting.length} requests wait already, which is the limit.`;
    return new EngineError('overloaded', detail, this.estimatedWaitSeconds);
  }

  private dispatch(): void {
    for (let lane = this.pool.freeLane(); lane; lane = this.pool.freeLane()) {
      const job = this.waiting.shift();
      if (!job) return;
      job.startedAt = performance.now();
      lane.jobs.set(job.id, job);
      lane.worker.send({ type: 'generate', id: job.id, model: job.model, request: job.request });
    }
  }

  private abort(job: Job, error: EngineError): void {
    const queued = this.waiting.indexOf(job);
    if (queued >= 0) this.waiting.splice(queued, 1);
    // A running one keeps its slot until the worker says that it has let go of it.
    else this.pool.lanes.find(({ jobs }) => jobs.has(job.id))?.worker.send({ type: 'abort', id: job.id });
    const reason = error.code === 'deadline_exceeded' ? 'deadline' : 'client_gone';
    this.emit('cancelled', { phase: queued >= 0 ? 'queued' : 'running', reason });
    job.reject(error);
  }

  private cutOff(job: Job, phase: 'queued' | 'running', error: EngineError): void {
    this.emit('cancelled', { phase, reason: 'shutdown' });
    job.reject(error);
  }

  private receive(lane: Lane<Job>, message: FromWorker): void {
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
    lane.jobs.delete(job.id);
    switch (message.type) {
      case 'done': {
        const ms = performance.now() - job.startedAt;
        this.serviceMs = this.serviceMs === undefined ? ms : 0.8 * this.serviceMs + 0.2 * ms;
        const { provider } = lane.worker.device;
        const fingerprint = `onnxruntime-${this.onnxruntime} ${provider} ${process.platform}-${process.arch}`;
        job.resolve({ ...message.result, queueMs: job.startedAt - job.queuedAt, fingerprint });
        break;
      }
      case 'failed':
        job.reject(new EngineError(message.code, message.message));
    }
    this.dispatch();
  }

  private lost({ index, worker, jobs }: Lane<Job>, cause: string): void {
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
