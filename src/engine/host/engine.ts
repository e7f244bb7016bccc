// The engine's handle, in the HTTP process: a bounded, fair queue in front of one worker per device.
// No HTTP, no pictures' formats, no maths. Everything that a request can meet here is an EngineError.

import { EventEmitter } from 'node:events';
import { FairQueue } from '../../fair-queue.js';
import type { EmbeddingInfo } from '../../model-facts.js';
import { EngineError } from '../shared/errors.js';
import type { ExitCause } from '../shared/faults.js';
import type { FromWorker, LoraEntry, LoraInfo, LoraWay, ModelInfo } from '../shared/messages.js';
import { Admission, type AdmissionSettings } from './admission.js';
import type { AdmittedJob } from './admitted-job.js';
import { type CatalogueEntry, findLora, findModel, startFault } from './catalogue.js';
import type { UnusedGpus } from './devices.js';
import { Forecast, unknownWorkMs } from './forecast.js';
import { Jobs } from './jobs.js';
import { type Lane, Pool, type PoolSettings } from './pool.js';
import type { EngineEvents, EngineStatus, Estimate, Generated, GenerateOptions, Job, JobOutline } from './requests.js';

export type { Img2ImgRequest, LoraUse } from '../../img2img-request.js';
export { createSchedule, type Schedule, type SchedulerName, schedulerNames } from '../../pipeline/schedulers/index.js';
export { UnsupportedSchedulerError } from '../../pipeline/schedulers/schedule.js';
export { EngineError, type EngineErrorCode, engineErrorCodes } from '../shared/errors.js';
export { type ExitReason, exitReasons } from '../shared/faults.js';
export type { LoraEntry, LoraInfo, ModelInfo, Result } from '../shared/messages.js';
export type { CatalogueEntry } from './catalogue.js';
export { type UnusedGpus, unusedReasons } from './devices.js';
export type {
  CancelReason,
  EngineEvents,
  EngineStatus,
  Estimate,
  Generated,
  GenerateOptions,
  Job,
  JobOutline,
  Progress,
} from './requests.js';
export { cancelPhases, cancelReasons } from './requests.js';

export interface EngineSettings extends PoolSettings, AdmissionSettings {}

export class Engine extends EventEmitter<EngineEvents> {
  private readonly pool: Pool;
  private readonly queue = new FairQueue<AdmittedJob>();
  private readonly forecast: Forecast;
  private readonly admission: Admission;
  private readonly jobs: Jobs;
  private onnxruntime: string | undefined;
  private unheard: (() => void)[] | undefined;
  private nextGroup = 1;
  private closed = false;

  /** @throws Error with a sentence for devices that cannot be read */
  constructor(private readonly settings: EngineSettings) {
    super();
    this.pool = new Pool(settings, {
      message: (lane, message) => this.hear(() => this.receive(lane, message)),
      exit: (lane, cause) => this.hear(() => this.lost(lane, cause)),
      stderr: ({ worker }, line) => this.emit('workerLog', { device: worker.device.name, line }),
    });
    this.forecast = new Forecast(settings, this.pool, this.queue);
    this.admission = new Admission(settings, this.pool, this.queue, this.forecast);
    this.jobs = new Jobs(this.pool, this.queue, this.forecast, {
      cancelled: (phase, reason) => this.emit('cancelled', { phase, reason }),
      workerKiller: (details) => this.emit('workerKiller', details),
      fingerprint: (job, worker, loraWay) => this.fingerprint(job, worker, loraWay),
      notReady: () => this.notReady(),
    });
  }

  /** Starts the workers' processes. Nothing of what they say is heard before `start`, whose caller has something to do until then. */
  spawn(): void {
    this.unheard = [];
    this.pool.start();
  }

  start(): void {
    if (!this.unheard) this.pool.start();
    const said = this.unheard ?? [];
    this.unheard = undefined;
    for (const one of said) one();
  }

  private hear(said: () => void): void {
    if (this.unheard) this.unheard.push(said);
    else said();
  }

  /** Asks the workers to look at MODELS_DIR now. */
  look(): void {
    for (const { worker } of this.pool.lanes) worker.send({ type: 'look' });
  }

  /** All folders in MODELS_DIR, those that cannot run with the reason. Empty until a worker has looked. */
  get models(): readonly CatalogueEntry[] {
    return this.pool.models;
  }

  /** GPUs that the driver tells of and no worker runs on. */
  get unusedGpus(): UnusedGpus | undefined {
    return this.pool.unusedGpus;
  }

  /** All textual inversions in EMBEDDINGS_DIR, those that cannot be used with the reason; as a worker last saw them. */
  get embeddings(): readonly EmbeddingInfo[] {
    return this.pool.lanes.find(({ embeddings }) => embeddings.length > 0)?.embeddings ?? [];
  }

  /** All files in LORAS_DIR, those that cannot be used with the reason. */
  get loras(): readonly LoraEntry[] {
    return this.pool.loras;
  }

  /**
   * The LoRA of that name, for a model.
   * @throws EngineError lora_not_found, lora_not_runnable
   */
  lora(name: string, model: ModelInfo): LoraInfo {
    return findLora(this.loras, name, model);
  }

  /**
   * The model of that name; without a name DEFAULT_MODEL, else paintbox, else the first that runs.
   * @throws EngineError model_not_found, model_not_runnable, model_changing, not_ready
   */
  model(name?: string): ModelInfo {
    const { models } = this;
    if (!models.some((model) => model.runnable || model.changing)) throw this.notReady();
    return findModel(models, name, this.settings.defaultModel);
  }

  /** The default's name; undefined while it cannot run. */
  get defaultModel(): string | undefined {
    try {
      return this.model().name;
    } catch {
      return undefined;
    }
  }

  /** Why a server should not start with the models that it has, in a sentence. For when a worker has read them all. */
  get startFault(): string | undefined {
    return startFault(this.models, this.settings.defaultModel, this.modelsProblem);
  }

  private get modelsProblem(): string | undefined {
    return this.pool.lanes.find((lane) => lane.problem !== undefined)?.problem;
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
    const group = this.nextGroup++;
    const admitted: AdmittedJob[] = [];
    const pictures = jobs.map(
      (job, index) =>
        new Promise<Generated>((resolve, reject) =>
          admitted.push(this.jobs.admit(job, group, index, options, resolve, reject)),
        ),
    );
    const pictureBytes = this.admission.take(jobs);
    const onAbort = () => this.jobs.abort(admitted, signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.jobs.add(admitted);
    this.jobs.tellPlace(admitted[0]!, options);
    try {
      return await Promise.all(pictures);
    } catch (error) {
      this.jobs.abort(admitted, error as EngineError);
      throw error;
    } finally {
      pictureBytes.release();
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** What these jobs would meet if they came now. */
  estimate(jobs: readonly JobOutline[]): Estimate {
    return this.forecast.estimate(jobs);
  }

  /**
   * Fails where generate would, so that nothing is read or decoded for a request that has no place.
   * @param jobs absent while nothing is known of them: then it is asked for one place
   * @param deadline on the clock of performance.now()
   * @throws EngineError not_ready, shutting_down, overloaded with the seconds until a place is likely, deadline_unattainable,
   *   too_large_for_device
   */
  assertRoom(jobs?: readonly JobOutline[], deadline?: number): void {
    const refusal = this.closed || this.pool.isHopeless ? this.notReady() : this.admission.refusal(jobs, deadline);
    if (!refusal) return;
    this.emit('rejected', { code: refusal.code });
    throw refusal;
  }

  get status(): EngineStatus {
    const { lanes, slots, inFlight, hasReadyWorker, models } = this.pool;
    const ready = hasReadyWorker && models.some((model) => model.runnable);
    const now = performance.now();
    const [next] = this.forecast.timetable([unknownWorkMs]).slice(-1);
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
        provider: worker.device.provider,
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
    this.jobs.abort(this.jobs.all, error);
    await this.pool.close();
  }

  private receive(lane: Lane, message: FromWorker): void {
    switch (message.type) {
      case 'models':
        lane.models = message.models;
        lane.loras = message.loras;
        lane.problem = message.problem;
        this.onnxruntime = message.onnxruntime;
        for (const model of message.models) this.forecast.learn(model);
        this.emit('models', this.models);
        return;
      case 'embeddings':
        lane.embeddings = message.embeddings;
        return;
      case 'ready': {
        const { device, pid } = lane.worker;
        this.emit('ready', { worker: lane.index, device: device.name, pid, models: this.models });
        this.jobs.dispatch();
        return;
      }
      case 'model':
        lane.models = lane.models.map((info) => (info.name === message.model.name ? message.model : info));
        lane.memory.forget(message.model.name);
        this.forecast.learn(message.model);
        if (!message.model.runnable) this.emit('models', this.models);
        return;
      case 'lora':
        lane.loras = [...lane.loras.filter(({ name }) => name !== message.lora.name), message.lora];
        return;
      case 'step': {
        const { model, pixels, rows, ms, changedShape } = message;
        if (!this.knows(lane, model)) return;
        if (!changedShape) this.forecast.times.called(model, pixels, rows, ms);
        this.emit('step', { model, rows, ms });
        return;
      }
      case 'modelLoaded': {
        const { model, component, ms } = message;
        if (!this.knows(lane, model)) return;
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
        this.jobs.receive(lane, message);
    }
  }

  /** Calls of a model that is not there are not counted: names are labels of metrics. A worker that starts has told of none yet. */
  private knows({ worker, models }: Lane, model: string): boolean {
    const known = worker.state === 'starting' || models.some(({ name }) => name === model);
    if (!known) worker.condemn(`it ran a model that it does not have: ${JSON.stringify(model.slice(0, 40))}`);
    return known;
  }

  private lost(lane: Lane, { reason, detail }: ExitCause): void {
    const { device, pid } = lane.worker;
    const requests = this.jobs.countOn(lane);
    this.emit('workerExit', { worker: lane.index, device: device.name, pid, reason, cause: detail, requests });
    this.jobs.workerEnded(lane);
  }

  /** What equality of bytes can be expected of: runtime, provider, device, model, and how LoRAs ran. */
  private fingerprint({ model }: Job, worker: number, loraWay: LoraWay): string {
    const { device } = this.pool.lanes[worker]!.worker;
    const info = this.models.find(({ name }) => name === model);
    const digest = info?.runnable ? info.digest.slice(0, 16) : '';
    return `onnxruntime-${this.onnxruntime} ${device.provider} ${device.hardware} ${digest}${loraWay === 'none' ? '' : ` ${loraWay}`}`;
  }

  private notReady(): EngineError {
    if (this.closed) return new EngineError('shutting_down', 'The server shuts down.', 1);
    if (this.pool.isHopeless) {
      return new EngineError('not_ready', 'No worker stays alive; the log says why.', 30);
    }
    if (this.pool.hasReadyWorker) {
      const problem = this.modelsProblem;
      const why = problem === undefined ? 'No model in this server can run; GET /models says why.' : `${problem}.`;
      return new EngineError('not_ready', why, 30);
    }
    return new EngineError('not_ready', 'The models are being loaded.', 2);
  }
}
