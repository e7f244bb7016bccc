// The engine's handle, in the HTTP process: a bounded, fair queue in front of one worker per device.
// No HTTP, no pictures' formats, no maths. Everything that a request can meet here is an EngineError.

import { EventEmitter } from 'node:events';
import { EngineError, type EngineErrorCode } from '../shared/errors.js';
import type { ExitCause } from '../shared/faults.js';
import type { FromWorker, ModelInfo } from '../shared/messages.js';
import { Admission, type AdmissionSettings } from './admission.js';
import { type CatalogueEntry, findModel } from './catalogue.js';
import { FairQueue } from './fair-queue.js';
import { Forecast, pixelsOf, unknownWorkMs } from './forecast.js';
import { type Lane, Pool, type PoolSettings } from './pool.js';
import type {
  CancelReason,
  EngineEvents,
  EngineStatus,
  Estimate,
  Generated,
  GenerateOptions,
  Job,
  PlannedJob,
} from './requests.js';
import { deathsBeforeAlone, type Task } from './task.js';

export { type Kind, kinds } from '../../pipeline/folder/family.js';
export type { Img2ImgRequest } from '../../pipeline/img2img.js';
export { createSchedule, type Schedule, type SchedulerName, schedulerNames } from '../../pipeline/schedulers/index.js';
export { UnsupportedSchedulerError } from '../../pipeline/schedulers/schedule.js';
export { EngineError, type EngineErrorCode } from '../shared/errors.js';
export { type ExitReason, exitReasons } from '../shared/faults.js';
export type { ModelInfo, Result } from '../shared/messages.js';
export type { CatalogueEntry } from './catalogue.js';
export type {
  CancelReason,
  EngineEvents,
  EngineStatus,
  Estimate,
  Generated,
  GenerateOptions,
  Job,
  PlannedJob,
  Progress,
} from './requests.js';

export interface EngineSettings extends PoolSettings, AdmissionSettings {}

export class Engine extends EventEmitter<EngineEvents> {
  private readonly pool: Pool;
  private readonly queue = new FairQueue<Task>();
  private readonly forecast: Forecast;
  private readonly admission: Admission;
  private onnxruntime: string | undefined;
  private nextId = 1;
  private closed = false;

  /** @throws Error with a sentence for devices that cannot be read */
  constructor(private readonly settings: EngineSettings) {
    super();
    this.pool = new Pool(settings, {
      message: (lane, message) => this.receive(lane, message),
      exit: (lane, cause) => this.lost(lane, cause),
      stderr: ({ worker }, line) => this.emit('workerLog', { device: worker.device.name, line }),
    });
    this.forecast = new Forecast(settings, this.pool, this.queue);
    this.admission = new Admission(settings, this.pool, this.queue, this.forecast);
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
   * Makes the pictures of one request. The jobs are admitted or refused together, and each is then an ordinary request of
   * the batch; when one of them fails or is aborted, so are the others. A job whose worker ends is run again on another one.
   * @returns one picture per job, in their order
   * @throws EngineError
   */
  async generate(jobs: readonly Job[], options: GenerateOptions): Promise<Generated[]> {
    const { signal } = options;
    if (signal.aborted) throw signal.reason;
    this.assertRoom(jobs, options.deadline);
    const group = this.nextId++;
    const tasks: Task[] = [];
    const pictures = jobs.map(
      (job, index) =>
        new Promise<Generated>((resolve, reject) =>
          tasks.push(this.taskOf(job, group, index, options, resolve, reject)),
        ),
    );
    const pictureBytes = this.admission.take(jobs);
    const onAbort = () => this.abort(tasks, signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    for (const task of tasks) this.queue.add(task);
    this.dispatch();
    this.tellPlace(tasks[0]!, options);
    try {
      return await Promise.all(pictures);
    } catch (error) {
      this.abort(tasks, error as EngineError);
      throw error;
    } finally {
      pictureBytes.release();
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** What these jobs would meet if they came now. */
  estimate(jobs: readonly PlannedJob[]): Estimate {
    return this.forecast.estimate(jobs);
  }

  /**
   * Fails where generate would, so that nothing is read or decoded for a request that has no place.
   * @param jobs absent while nothing is known of them: then it is asked for one place
   * @param deadline on the clock of performance.now()
   * @throws EngineError not_ready, shutting_down, overloaded with the seconds until a place is likely, deadline_unattainable,
   *   too_large_for_device
   */
  assertRoom(jobs?: readonly PlannedJob[], deadline?: number): void {
    const refusal = this.closed || this.pool.isHopeless ? this.notReady() : this.admission.refusal(jobs, deadline);
    if (!refusal) return;
    this.emit('rejected', { code: refusal.code });
    throw refusal;
  }

  get status(): EngineStatus {
    const { lanes, slots, inFlight, hasReadyWorker, models } = this.pool;
    const ready = hasReadyWorker && models.some((model) => model.runnable);
    const now = performance.now();
    const [next] = this.forecast.plan([unknownWorkMs]).slice(-1);
    return {
      ready,
      reason: ready ? undefined : this.notReady().message,
      queueDepth: this.queue.size,
      inFlight,
      slots,
      queueLimit: this.settings.maxQueue,
      oldestQueuedMs: Math.max(0, ...[...this.queue].map(({ queuedAt }) => now - queuedAt)),
      estimatedWaitMs: next!.startMs,
      onnxruntime: this.onnxruntime,
      workers: lanes.map(({ worker }) => ({
        device: worker.device.name,
        pid: worker.pid,
        up: worker.state === 'ready',
        restarts: worker.restarts,
        memoryBytes: worker.memoryBytes,
        gpu: worker.device.gpu,
        gpuBudgetBytes: worker.device.gpu === undefined ? undefined : this.forecast.gpuBudget(worker.device.gpu),
      })),
    };
  }

  /** Ends the workers. What waits or runs is refused. */
  async close(): Promise<void> {
    this.closed = true;
    const error = new EngineError('shutting_down', 'The server shuts down.', 1);
    this.abort([...this.queue, ...this.pool.lanes.flatMap(({ tasks }) => [...tasks.values()])], error);
    await this.pool.close();
  }

  private taskOf(
    job: Job,
    group: number,
    index: number,
    options: GenerateOptions,
    resolve: (generated: Generated) => void,
    reject: (error: EngineError) => void,
  ): Task {
    const task: Task = {
      message: {
        type: 'generate',
        id: this.nextId++,
        ...job,
        wantsProgress: options.onProgress !== undefined,
        preview: options.preview ?? false,
      },
      caller: options.caller ?? '',
      group,
      queuedAt: performance.now(),
      pixels: pixelsOf(job),
      rows: this.forecast.rowsOf(job),
      work: this.forecast.workOf(job),
      deaths: 0,
      startedAt: 0,
      settled: false,
      resolve: (result, worker) => {
        task.settled = true;
        const fingerprint = this.fingerprint(job.model, worker);
        resolve({ ...result, queueMs: task.startedAt - task.queuedAt, fingerprint, worker });
      },
      reject: (error) => {
        task.settled = true;
        reject(error);
      },
      progressed: (progress) => options.onProgress?.({ phase: 'running', job: index, ...progress }),
    };
    return task;
  }

  private tellPlace(first: Task, { onProgress }: GenerateOptions): void {
    if (!onProgress || first.startedAt > 0) return;
    const order = [...this.queue];
    const position = order.indexOf(first) + 1;
    if (position > 0)
      onProgress({ phase: 'queued', position, estimatedWaitMs: this.forecast.plan([])[position - 1]!.startMs });
  }

  private dispatch(): void {
    for (let task = this.queue.peek(); task; task = this.queue.peek()) {
      const lane = this.pool.laneFor(task);
      if (!lane) return;
      this.queue.take();
      task.startedAt = performance.now();
      lane.tasks.set(task.message.id, task);
      lane.worker.send({ ...task.message, deaths: task.deaths });
    }
  }

  /** Those that are over are left as they are. */
  private abort(tasks: readonly Task[], error: EngineError): void {
    for (const task of tasks.filter(({ settled }) => !settled)) {
      const { id } = task.message;
      const queued = this.queue.remove(task);
      // A running one keeps its slot until the worker says that it has let go of it.
      if (!queued) this.pool.lanes.find((lane) => lane.tasks.has(id))?.worker.send({ type: 'abort', id });
      this.emit('cancelled', {
        phase: queued ? 'queued' : 'running',
        reason: cancelReasons[error.code] ?? 'client_gone',
      });
      task.reject(error);
    }
    this.dispatch();
  }

  private receive(lane: Lane, message: FromWorker): void {
    switch (message.type) {
      case 'models':
        lane.models = message.models;
        lane.problem = message.problem;
        this.onnxruntime = message.onnxruntime;
        for (const model of message.models) this.forecast.learn(model);
        this.emit('models', this.models);
        return;
      case 'ready': {
        const { device, pid } = lane.worker;
        this.emit('ready', { worker: lane.index, device: device.name, pid, models: this.models });
        this.dispatch();
        return;
      }
      case 'model':
        lane.models = lane.models.map((info) => (info.name === message.model.name ? message.model : info));
        this.forecast.learn(message.model);
        return;
      case 'step': {
        const { model, pixels, rows, ms } = message;
        this.forecast.times.called(model, pixels, rows, ms);
        this.emit('step', { model, rows, ms });
        return;
      }
      case 'modelLoaded': {
        const { model, component, ms } = message;
        this.emit('modelLoaded', { worker: lane.index, model, component, ms });
        return;
      }
      case 'promptCache':
        this.emit('promptCache', { hits: message.hits, misses: message.misses });
        return;
      case 'memory':
        this.emit('memory', { worker: lane.index, device: lane.worker.device.name, bytes: message.bytes });
        return;
      case 'progress':
      case 'done':
      case 'failed':
      case 'aborted':
        this.receiveOf(lane, message);
    }
  }

  /** What a worker says of one task. */
  private receiveOf(lane: Lane, message: Extract<FromWorker, { id: number }>): void {
    const task = lane.tasks.get(message.id);
    if (!task) return;
    if (message.type === 'progress') {
      if (!task.settled) task.progressed(message.progress);
      return;
    }
    lane.tasks.delete(message.id);
    if (message.type === 'done') {
      const { textEncode, vaeEncode, vaeDecode } = message.result.timings;
      this.forecast.times.coded(task.message.model, task.pixels, textEncode + vaeEncode + vaeDecode);
      if (!task.settled) task.resolve(message.result, lane.index);
    } else if (message.type === 'failed' && !task.settled) {
      task.reject(new EngineError(message.code, message.message));
    }
    this.dispatch();
  }

  /** Its tasks run again: the same seed, the same picture. */
  private lost({ index, worker, tasks }: Lane, { reason, detail }: ExitCause): void {
    const lost = [...tasks.values()].filter(({ settled }) => !settled);
    tasks.clear();
    const { device, pid } = worker;
    this.emit('workerExit', { worker: index, device: device.name, pid, reason, cause: detail, requests: lost.length });
    for (const task of lost) {
      task.deaths++;
      if (task.deaths > deathsBeforeAlone) this.refuseKiller(task);
      else this.queue.addAgain(task);
    }
    if (this.pool.isHopeless) {
      for (const task of [...this.queue]) {
        this.queue.remove(task);
        task.reject(
          task.deaths > 0
            ? new EngineError(
                'worker_lost',
                'The worker that ran this request ended, and no other one stays alive.',
                30,
              )
            : this.notReady(),
        );
      }
    }
    this.dispatch();
  }

  private refuseKiller(task: Task): void {
    const { model, request } = task.message;
    const { width, height } = request.pixels;
    const { steps, scheduler } = request;
    this.emit('workerKiller', { model, deaths: task.deaths, steps, scheduler, width, height });
    const detail = `${task.deaths} workers ended while they ran this request, the last one with nothing beside it.`;
    task.reject(new EngineError('request_kills_worker', detail));
  }

  /** What equality of bytes can be expected of: runtime, provider, device and model. */
  private fingerprint(model: string, worker: number): string {
    const { device } = this.pool.lanes[worker]!.worker;
    const info = this.models.find(({ name }) => name === model);
    const digest = info?.runnable ? info.digest.slice(0, 16) : '';
    return `onnxruntime-${this.onnxruntime} ${device.provider} ${device.hardware} ${digest}`;
  }

  private notReady(): EngineError {
    if (this.closed) return new EngineError('shutting_down', 'The server shuts down.', 1);
    if (this.pool.isHopeless) {
      return new EngineError('not_ready', 'No worker stays alive; the log says why.', 30);
    }
    if (this.pool.hasReadyWorker) {
      const problem = this.pool.lanes.find((lane) => lane.problem !== undefined)?.problem;
      const why = problem === undefined ? 'No model in this server can run; GET /models says why.' : `${problem}.`;
      return new EngineError('not_ready', why, 30);
    }
    return new EngineError('not_ready', 'The models are being loaded.', 2);
  }
}

const cancelReasons: Partial<Record<EngineErrorCode, CancelReason>> = {
  deadline_exceeded: 'deadline',
  interrupted: 'explicit',
  shutting_down: 'shutdown',
};
