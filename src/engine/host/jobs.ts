// The jobs of the engine from their admission to their end: which worker gets the next one, what comes back, and what becomes of
// those whose worker ended.

import type { FairQueue } from '../../fair-queue.js';
import type { Pixels } from '../../pixels.js';
import { EngineError, type EngineErrorCode } from '../shared/errors.js';
import type { FromWorker, LoraWay } from '../shared/messages.js';
import { type AdmittedJob, deathsBeforeAlone } from './admitted-job.js';
import { cannotRun } from './catalogue.js';
import { type Forecast, pixelsOf } from './forecast.js';
import type { Lane, Pool } from './pool.js';
import type { CancelReason, EngineEvents, Generated, GenerateOptions, Job } from './requests.js';

type Size = Pick<Pixels, 'width' | 'height'>;

export interface JobEvents {
  cancelled(phase: EngineEvents['cancelled'][0]['phase'], reason: CancelReason): void;
  workerKiller(details: EngineEvents['workerKiller'][0]): void;
  /** What equality of bytes can be expected of. */
  fingerprint(job: Job, worker: number, loraWay: LoraWay): string;
  notReady(): EngineError;
}

export class Jobs {
  private nextId = 1;

  constructor(
    private readonly pool: Pool,
    private readonly queue: FairQueue<AdmittedJob>,
    private readonly forecast: Forecast,
    private readonly events: JobEvents,
  ) {}

  /** One of a request's, with what it costs. It waits from when it is `added`. */
  admit(
    job: Job,
    group: number,
    index: number,
    options: GenerateOptions,
    resolve: (generated: Generated) => void,
    reject: (error: EngineError) => void,
  ): AdmittedJob {
    const admitted: AdmittedJob = {
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
        admitted.settled = true;
        const fingerprint = this.events.fingerprint(job, worker, result.loraWay);
        const queueMs = admitted.startedAt - admitted.queuedAt;
        const totalMs = performance.now() - admitted.queuedAt;
        resolve({ ...result, queueMs, totalMs, fingerprint, worker });
      },
      reject: (error) => {
        admitted.settled = true;
        reject(error);
      },
      progressed: (progress) => options.onProgress?.({ phase: 'running', job: index, ...progress }),
    };
    return admitted;
  }

  add(jobs: readonly AdmittedJob[]): void {
    for (const job of jobs) this.queue.add(job);
    this.dispatch();
  }

  /** Those that wait, and those that run. */
  get all(): AdmittedJob[] {
    return [...this.queue, ...this.pool.lanes.flatMap(({ jobs }) => [...jobs.values()])];
  }

  tellPlace(first: AdmittedJob, { onProgress }: GenerateOptions): void {
    if (!onProgress || first.startedAt > 0) return;
    const order = [...this.queue];
    const position = order.indexOf(first) + 1;
    if (position > 0)
      onProgress({ phase: 'queued', position, estimatedWaitMs: this.forecast.timetable([])[position - 1]!.startMs });
  }

  /** Gives workers what waits, as far as they have room. */
  dispatch(): void {
    for (let job = this.queue.peek(); job; job = this.queue.peek()) {
      const { message } = job;
      const lane = this.pool.laneFor(job, (each) => this.forecast.hasMemory(each, message));
      if (!lane) return;
      this.queue.take();
      job.startedAt = performance.now();
      lane.memory.began();
      lane.jobs.set(job.message.id, job);
      this.pool.folds.sent(lane.index, job.message);
      lane.worker.send(job.message);
    }
  }

  /** Those that are over are left as they are. */
  abort(jobs: readonly AdmittedJob[], error: EngineError): void {
    for (const job of jobs.filter(({ settled }) => !settled)) {
      const { id } = job.message;
      const queued = this.queue.remove(job);
      // A running one keeps its slot until the worker says that it has let go of it.
      if (!queued) this.pool.lanes.find((lane) => lane.jobs.has(id))?.worker.send({ type: 'abort', id });
      const reason = reasonsToCancel[error.code];
      if (reason) this.events.cancelled(queued ? 'queued' : 'running', reason);
      job.reject(error);
    }
    this.dispatch();
  }

  /** What a worker says of one job. */
  receive(lane: Lane, message: Extract<FromWorker, { id: number }>): void {
    const job = lane.jobs.get(message.id);
    if (!job) return;
    if (message.type === 'progress') {
      if (!job.settled) job.progressed(message.progress);
      return;
    }
    if (message.type === 'done' && !sameSize(message.result.pixels, job.message.request.pixels)) {
      const { width, height } = message.result.pixels;
      lane.worker.condemn(`it made a picture of ${width} x ${height} that nobody asked for`);
      return;
    }
    lane.jobs.delete(message.id);
    lane.memory.ended(job.message.model, this.forecast.memoryNeed(job.message), lane.jobs.size === 0);
    if (message.type === 'done') {
      const { denoise: _, ...coding } = message.result.timings;
      const codedMs = Object.values(coding).reduce((sum, ms) => sum + ms, 0);
      this.forecast.times.coded(job.message.model, job.pixels, codedMs);
      const { modelLoadMs, loraWay } = message.result;
      if (loraWay === 'branched') this.pool.folds.neverFolds(job.message);
      else if (loraWay === 'folded' && modelLoadMs > 0) this.pool.folds.folded(job.message, modelLoadMs);
      if (!job.settled) job.resolve(message.result, lane.index);
    } else if (message.type === 'failed' && !job.settled) {
      job.reject(failureOf(message, job));
    }
    this.dispatch();
  }

  /** How many of a lane's somebody waits for. */
  countOn({ jobs }: Lane): number {
    return [...jobs.values()].filter(({ settled }) => !settled).length;
  }

  /** What ran on a lane whose worker ended runs again elsewhere: the same seed, the same picture. */
  workerEnded({ index, jobs, memory }: Lane): void {
    const lost = [...jobs.values()].filter(({ settled }) => !settled);
    jobs.clear();
    memory.forgetAll();
    this.pool.folds.forget(index);
    for (const job of lost) {
      job.deaths++;
      if (job.deaths > deathsBeforeAlone) this.refuseKiller(job);
      else this.queue.addAgain(job);
    }
    if (this.pool.isHopeless) this.refuseAll();
    this.dispatch();
  }

  /** No worker will come for those that wait. */
  private refuseAll(): void {
    for (const job of [...this.queue]) {
      this.queue.remove(job);
      job.reject(
        job.deaths > 0
          ? new EngineError('worker_lost', 'The worker that ran this request ended, and no other one stays alive.', 30)
          : this.events.notReady(),
      );
    }
  }

  private refuseKiller(job: AdmittedJob): void {
    const { model, request } = job.message;
    const { width, height } = request.pixels;
    const { steps, scheduler } = request;
    this.events.workerKiller({ model, deaths: job.deaths, steps, scheduler, width, height });
    const detail = `${job.deaths} workers ended while they ran this request, the last one with nothing beside it.`;
    job.reject(new EngineError('request_kills_worker', detail));
  }
}

/** A model that ran until a worker ended with it, and now cannot be read, has changed under it: a mapped file that is cut off. */
function failureOf(
  { code, message }: Extract<FromWorker, { type: 'failed' }>,
  { message: { model }, deaths }: AdmittedJob,
): EngineError {
  if (code !== 'model_changing' && code !== 'model_not_runnable') return new EngineError(code, message);
  return cannotRun({ name: model, reason: message, changing: code === 'model_changing' || deaths > 0 });
}

function sameSize(a: Size, b: Size): boolean {
  return a.width === b.width && a.height === b.height;
}

/** A picture that ends because another one of its request failed was not cancelled. */
const reasonsToCancel: Partial<Record<EngineErrorCode, CancelReason>> = {
  cancelled: 'client_gone',
  deadline_exceeded: 'deadline',
  interrupted: 'explicit',
  shutting_down: 'shutdown',
};
