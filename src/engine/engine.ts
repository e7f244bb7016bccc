// The engine's handle, in the HTTP process: a bounded, fair queue in front of one worker per device.
// No HTTP, no pictures' formats, no maths. Everything that a request can meet here is an EngineError.

import { EventEmitter } from 'node:events';
import type { Img2ImgRequest } from '../pipeline/img2img.js';
import { createSchedule } from '../pipeline/schedulers/index.js';
import type { Pixels } from '../pixels.js';
import { isUnattainable, type Planned, plan, seconds, usableShare } from './admission.js';
import { type CatalogueEntry, findModel } from './catalogue.js';
import { EngineError, type EngineErrorCode } from './errors.js';
import { FairQueue } from './fair-queue.js';
import type { ExitCause, ExitReason } from './faults.js';
import { freeMemory, predictNeed } from './memory.js';
import type { FromWorker, ModelInfo, Result } from './messages.js';
import { type Lane, Pool, type PoolSettings } from './pool.js';
import { rowBudgetFor } from './row-budget.js';
import { StepTimes } from './step-times.js';
import { deathsBeforeAlone, remainingMs, type Task } from './task.js';

export { type Kind, kinds } from '../pipeline/family.js';
export type { Img2ImgRequest } from '../pipeline/img2img.js';
export { createSchedule, type Schedule, type SchedulerName, schedulerNames } from '../pipeline/schedulers/index.js';
export { UnsupportedSchedulerError } from '../pipeline/schedulers/schedule.js';
export type { CatalogueEntry } from './catalogue.js';
export { EngineError, type EngineErrorCode } from './errors.js';
export { type ExitReason, exitReasons } from './faults.js';
export type { ModelInfo, Result } from './messages.js';

export interface EngineSettings extends PoolSettings {
  /** Pictures that may wait, beyond those that run. */
  readonly maxQueue: number;
  /** Bytes of the decoded pictures of all requests together, starters and answers. */
  readonly maxPictureBytes: number;
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

export type CancelReason = 'client_gone' | 'deadline' | 'explicit' | 'shutdown';

export interface EngineEvents {
  /** One UNet call. */
  step: [{ model: string; rows: number; ms: number }];
  cancelled: [{ phase: 'queued' | 'running'; reason: CancelReason }];
  /** A request that was refused. */
  rejected: [{ code: EngineErrorCode }];
  ready: [{ worker: number; device: string; pid: number | undefined; models: readonly CatalogueEntry[] }];
  workerExit: [
    { worker: number; device: string; pid: number | undefined; reason: ExitReason; cause: string; requests: number },
  ];
  /** A request was refused because workers ended each time they ran it. */
  workerKiller: [{ model: string; deaths: number; steps: number; scheduler: string; width: number; height: number }];
  workerLog: [{ device: string; line: string }];
  modelLoaded: [{ worker: number; model: string; component: string; ms: number }];
  promptCache: [{ hits: number; misses: number }];
  /** Resident memory of a worker's process. */
  memory: [{ worker: number; device: string; bytes: number }];
}

export interface EngineStatus {
  readonly ready: boolean;
  /** Why not ready. */
  readonly reason: string | undefined;
  readonly queueDepth: number;
  readonly inFlight: number;
  readonly slots: number;
  readonly queueLimit: number;
  /** How long what has waited longest has waited, ms; 0 when nothing waits. */
  readonly oldestQueuedMs: number;
  /** How long an ordinary request that comes now is likely to wait. */
  readonly estimatedWaitMs: number;
  readonly workers: readonly {
    device: string;
    pid: number | undefined;
    up: boolean;
    restarts: number;
    memoryBytes: number | undefined;
  }[];
}

/** What is assumed of a model that no worker has run yet, ms per picture. */
const unknownWorkMs = 1000;

export class Engine extends EventEmitter<EngineEvents> {
  private readonly pool: Pool;
  private readonly queue = new FairQueue<Task>();
  private readonly times = new StepTimes();
  private onnxruntime = '';
  private nextId = 1;
  private pictureBytes = 0;
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
    const bytes = bytesOf(jobs);
    const onAbort = () => this.abort(tasks, signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.pictureBytes += bytes;
    for (const task of tasks) this.queue.add(task);
    this.dispatch();
    this.tellPlace(tasks[0]!, options);
    try {
      return await Promise.all(pictures);
    } catch (error) {
      this.abort(tasks, error as EngineError);
      throw error;
    } finally {
      this.pictureBytes -= bytes;
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** What these jobs would meet if they came now. */
  estimate(jobs: readonly PlannedJob[]): Estimate {
    const planned = this.planWith(jobs);
    const waitMs = Math.min(...planned.map(({ startMs }) => startMs));
    const durationMs = Math.max(...planned.map(({ endMs }) => endMs)) - waitMs;
    const needs = jobs.map((job) => this.memoryNeed(job));
    const memoryBytes = needs.includes(undefined) ? undefined : Math.max(...(needs as number[]));
    return { waitMs, durationMs, memoryBytes };
  }

  /**
   * Fails where generate would, so that nothing is read or decoded for a request that has no place.
   * @param jobs absent while nothing is known of them: then it is asked for one place
   * @param deadline on the clock of performance.now()
   * @throws EngineError not_ready, shutting_down, overloaded with the seconds until a place is likely, deadline_unattainable,
   *   too_large_for_device
   */
  assertRoom(jobs?: readonly PlannedJob[], deadline?: number): void {
    const refusal = this.refusal(jobs, deadline);
    if (!refusal) return;
    this.emit('rejected', { code: refusal.code });
    throw refusal;
  }

  get status(): EngineStatus {
    const { lanes, slots, inFlight, hasReadyWorker, models } = this.pool;
    const ready = hasReadyWorker && models.some((model) => model.runnable);
    const now = performance.now();
    const [next] = this.plan([unknownWorkMs]).slice(-1);
    return {
      ready,
      reason: ready ? undefined : this.notReady().message,
      queueDepth: this.queue.size,
      inFlight,
      slots,
      queueLimit: this.settings.maxQueue,
      oldestQueuedMs: Math.max(0, ...[...this.queue].map(({ queuedAt }) => now - queuedAt)),
      estimatedWaitMs: next!.startMs,
      workers: lanes.map(({ worker }) => ({
        device: worker.device.name,
        pid: worker.pid,
        up: worker.state === 'ready',
        restarts: worker.restarts,
        memoryBytes: worker.memoryBytes,
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
      rows: this.rowsOf(job),
      work: this.workOf(job),
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

  /** What a job takes on a device that is as busy as it should be, ms. */
  private workOf(job: PlannedJob): number {
    const info = this.models.find(({ name }) => name === job.model);
    if (!info?.runnable) return unknownWorkMs;
    const { width, height } = job.request.pixels;
    const pixels = width * height;
    const rows = Math.max(
      this.rowsOf(job),
      this.settings.maxConcurrent === undefined ? rowBudgetFor(info.capacities ?? [], width, height) : this.rowsOf(job),
    );
    const callMs = this.times.callMs(job.model, pixels, rows);
    if (callMs === undefined) return unknownWorkMs;
    const { unetCalls } = createSchedule(job.request, info.schedulerConfig, info.latentConsistency);
    return unetCalls * callMs + this.times.codecMs(job.model, pixels);
  }

  /** Guidance above 1 takes a second row, unless it goes in as an embedding. */
  private rowsOf({ model, request }: PlannedJob): number {
    const info = this.models.find(({ name }) => name === model);
    return request.guidanceScale > 1 && !(info?.runnable && info.guidanceEmbedded) ? 2 : 1;
  }

  private plan(works: readonly number[]): Planned[] {
    const now = performance.now();
    const workers = this.pool.lanes
      .filter(({ worker }) => worker.state === 'ready')
      .map((lane) => ({
        count: this.pool.slotsOf(lane),
        remainingMs: [...lane.tasks.values()].map((task) => remainingMs(task, now)),
      }));
    return plan(workers, [...[...this.queue].map(({ work }) => work), ...works]);
  }

  private planWith(jobs: readonly PlannedJob[]): Planned[] {
    return this.plan(jobs.map((job) => this.workOf(job))).slice(-jobs.length);
  }

  private tellPlace(first: Task, { onProgress }: GenerateOptions): void {
    if (!onProgress || first.startedAt > 0) return;
    const order = [...this.queue];
    const position = order.indexOf(first) + 1;
    if (position > 0) onProgress({ phase: 'queued', position, estimatedWaitMs: this.plan([])[position - 1]!.startMs });
  }

  private refusal(jobs: readonly PlannedJob[] | undefined, deadline: number | undefined): EngineError | undefined {
    if (this.closed || this.pool.isHopeless) return this.notReady();
    return (
      this.memoryRefusal(jobs ?? []) ??
      this.queueRefusal(jobs?.length ?? 1) ??
      this.deadlineRefusal(jobs ?? [], deadline) ??
      this.picturesRefusal(jobs ?? [])
    );
  }

  /** A request with more jobs than the queue has places is taken when nothing waits. */
  private queueRefusal(jobs: number): EngineError | undefined {
    const { maxQueue } = this.settings;
    const waiting = this.queue.size;
    const idle = this.pool.slots - this.pool.inFlight;
    if (waiting + jobs <= maxQueue + Math.max(0, idle)) return undefined;
    if (waiting === 0 && (idle > 0 || maxQueue > 0)) return undefined;
    const before = this.plan([unknownWorkMs]);
    const lacking = Math.min(waiting + jobs - maxQueue, before.length);
    const detail = `The queue is full: ${waiting} pictures wait already, and at most ${maxQueue} may.`;
    return new EngineError('overloaded', detail, seconds(before[lacking - 1]!.startMs));
  }

  private deadlineRefusal(jobs: readonly PlannedJob[], deadline: number | undefined): EngineError | undefined {
    if (deadline === undefined || jobs.length === 0 || !this.pool.hasReadyWorker) return undefined;
    const { waitMs, durationMs } = this.estimate(jobs);
    const leftMs = deadline - performance.now();
    if (!isUnattainable(waitMs + durationMs, leftMs)) return undefined;
    const detail = `The answer is likely to take ${seconds(waitMs + durationMs)} s, ${seconds(waitMs)} s of them waiting; the request's time is up in ${(leftMs / 1000).toFixed(1)} s.`;
    // What does not end in time on an idle device will not do so later either, but other replicas may be faster.
    return new EngineError('deadline_unattainable', detail, seconds(waitMs + durationMs - leftMs));
  }

  private picturesRefusal(jobs: readonly PlannedJob[]): EngineError | undefined {
    const { maxPictureBytes } = this.settings;
    const bytes = bytesOf(jobs);
    if (this.pictureBytes === 0 || this.pictureBytes + bytes <= maxPictureBytes) return undefined;
    const detail = `The pictures of the requests in flight have ${this.pictureBytes} bytes; with this one they would pass ${maxPictureBytes}.`;
    return new EngineError('overloaded', detail, seconds(this.plan([unknownWorkMs])[0]!.startMs));
  }

  /** Memory that is short because others use it now is waited for; what never fits is refused. */
  private memoryRefusal(jobs: readonly PlannedJob[]): EngineError | undefined {
    for (const job of jobs) {
      const need = this.memoryNeed(job);
      const has = this.memoryFor(job.model);
      if (need === undefined || has === undefined || need <= has) continue;
      const { width, height } = job.request.pixels;
      const detail = `${width} x ${height} pixels need about ${mebibytes(need)} MiB of the device's memory; ${mebibytes(has)} MiB are free. A smaller picture fits.`;
      return new EngineError('too_large_for_device', detail);
    }
    return undefined;
  }

  private memoryNeed(job: PlannedJob): number | undefined {
    const { bytesPerPixel } = this.settings.standIn ?? {};
    if (bytesPerPixel !== undefined) return bytesPerPixel * pixelsOf(job) * this.rowsOf(job);
    const info = this.models.find(({ name }) => name === job.model);
    return predictNeed((info?.runnable && info.memoryNeeds) || [], pixelsOf(job));
  }

  /** What a request of the model may use: free memory, and what the worker keeps from those before. Unknown for a GPU. */
  private memoryFor(model: string): number | undefined {
    const { memoryBytes } = this.settings.standIn ?? {};
    if (memoryBytes !== undefined) return memoryBytes;
    if (this.pool.lanes.some(({ worker }) => worker.device.provider === 'cuda')) return undefined;
    const info = this.models.find(({ name }) => name === model);
    const kept = Math.max(0, ...((info?.runnable && info.memoryNeeds) || []).map(({ bytes }) => bytes));
    return usableShare * freeMemory() + kept;
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
        this.onnxruntime = message.onnxruntime;
        for (const model of message.models) this.learn(model);
        return;
      case 'ready': {
        const { device, pid } = lane.worker;
        this.emit('ready', { worker: lane.index, device: device.name, pid, models: this.models });
        this.dispatch();
        return;
      }
      case 'model':
        lane.models = lane.models.map((info) => (info.name === message.model.name ? message.model : info));
        this.learn(message.model);
        return;
      case 'step': {
        const { model, pixels, rows, ms } = message;
        this.times.called(model, pixels, rows, ms);
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
      this.times.coded(task.message.model, task.pixels, textEncode + vaeEncode + vaeDecode);
      if (!task.settled) task.resolve(message.result, lane.index);
    } else if (message.type === 'failed' && !task.settled) {
      task.reject(new EngineError(message.code, message.message));
    }
    this.dispatch();
  }

  private learn(model: CatalogueEntry): void {
    if (model.runnable && model.capacities) this.times.warmedUp(model.name, model.capacities);
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
      return new EngineError('not_ready', 'No model in this server can run; GET /models says why.', 30);
    }
    return new EngineError('not_ready', 'The models are being loaded.', 2);
  }
}

const cancelReasons: Partial<Record<EngineErrorCode, CancelReason>> = {
  deadline_exceeded: 'deadline',
  interrupted: 'explicit',
  shutting_down: 'shutdown',
};

function pixelsOf({ request }: PlannedJob): number {
  return request.pixels.width * request.pixels.height;
}

/** RGB of the starters, each once however many jobs share it, and of the answers. */
function bytesOf(jobs: readonly PlannedJob[]): number {
  const starters = new Set(jobs.map(({ request }) => request.pixels));
  return (
    3 *
    [...starters, ...jobs.map(({ request }) => request.pixels)].reduce(
      (sum, { width, height }) => sum + width * height,
      0,
    )
  );
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
