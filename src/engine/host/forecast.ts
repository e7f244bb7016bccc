// What requests will take: time, rows and memory, from what the workers measured and what runs and waits now.

import type { FairQueue } from '../../fair-queue.js';
import { guidanceRows } from '../../guidance.js';
import { createSchedule } from '../../pipeline/schedulers/index.js';
import { rowBudgetFor } from '../shared/capacity.js';
import type { ModelInfo } from '../shared/messages.js';
import { type AdmittedJob, remainingMs } from './admitted-job.js';
import type { CatalogueEntry } from './catalogue.js';
import { predictNeed, usableShare } from './memory.js';
import type { Lane, Pool, PoolSettings } from './pool.js';
import type { Estimate, JobOutline } from './requests.js';
import { StepTimes } from './step-times.js';
import { type Times, timetable } from './timetable.js';

/** What is assumed of a model that no worker has run yet, ms per picture. */
export const unknownWorkMs = 1000;

export class Forecast {
  readonly times = new StepTimes();

  constructor(
    private readonly settings: Pick<PoolSettings, 'maxConcurrent'>,
    private readonly pool: Pool,
    private readonly queue: FairQueue<AdmittedJob>,
  ) {}

  /** What a worker measured when it loaded a model. */
  learn(model: CatalogueEntry): void {
    if (model.runnable && model.capacities) this.times.warmedUp(model.name, model.capacities);
  }

  /** What these jobs would meet if they came now. */
  estimate(jobs: readonly JobOutline[]): Estimate {
    const times = this.timetableWith(jobs);
    const waitMs = Math.min(...times.map(({ startMs }) => startMs));
    const durationMs = Math.max(...times.map(({ endMs }) => endMs)) - waitMs;
    const needs = jobs.map((job) => this.memoryNeed(job));
    const memoryBytes = needs.includes(undefined) ? undefined : Math.max(...(needs as number[]));
    return { waitMs, durationMs, memoryBytes };
  }

  /** What a job takes on a device that is as busy as it should be, ms. */
  workOf(job: JobOutline): number {
    const info = this.infoOf(job.model);
    if (!info) return unknownWorkMs;
    const { width, height } = job.request.pixels;
    const pixels = width * height;
    const rows = Math.max(
      this.rowsOf(job),
      this.settings.maxConcurrent === undefined ? rowBudgetFor(info.capacities ?? [], width, height) : this.rowsOf(job),
    );
    const callMs = this.times.callMs(job.model, pixels, rows);
    if (callMs === undefined) return unknownWorkMs;
    const { unetCalls } = createSchedule(job.request, info.schedulerConfig, info.rules.schedule);
    return unetCalls * callMs + this.times.codecMs(job.model, pixels) + this.pool.folds.workOf(job);
  }

  /** In a UNet call. */
  rowsOf({ model, request }: JobOutline): number {
    return guidanceRows(request, this.infoOf(model)?.rules ?? { guidance: 'prompts' }).length;
  }

  /** When all that waits, and after it these works, would start and end. */
  timetable(works: readonly number[]): Times[] {
    const now = performance.now();
    const workers = this.pool.lanes
      .filter(({ worker }) => worker.state === 'ready')
      .map((lane) => ({
        count: this.pool.slotsOf(lane),
        remainingMs: [...lane.jobs.values()].map((job) => remainingMs(job, now)),
      }));
    return timetable(workers, [...[...this.queue].map(({ work }) => work), ...works]);
  }

  private timetableWith(jobs: readonly JobOutline[]): Times[] {
    return this.timetable(jobs.map((job) => this.workOf(job))).slice(-jobs.length);
  }

  /** What a job needs of its device while it runs, on top of the model; undefined where nothing was measured. */
  memoryNeed(job: JobOutline): number | undefined {
    return predictNeed(this.infoOf(job.model)?.memoryNeeds ?? [], pixelsOf(job));
  }

  /** What a request of the model may use on a worker on which nothing else runs. */
  memoryFor(model: string): number {
    const kept = keptBy(this.infoOf(model));
    return Math.max(...this.pool.lanes.map(({ memory }) => memory.whenIdle(model, kept)));
  }

  /** Whether a worker has what a job needs, beside what runs on it now. */
  hasMemory({ memory }: Lane, job: JobOutline): boolean {
    const need = this.memoryNeed(job);
    return need === undefined || need <= memory.now(job.model, keptBy(this.infoOf(job.model)));
  }

  /** What a request may use on one GPU now, for the model that has kept most; undefined where nobody tells what is free. */
  gpuBudget(gpu: string): number | undefined {
    const free = this.pool.freeGpuMemory(gpu);
    if (free === undefined) return undefined;
    const lanes = this.pool.lanes.filter(({ worker }) => worker.device.gpu === gpu);
    const rooms = lanes.flatMap(({ memory }) => this.pool.models.map((model) => memory.now(model.name, keptBy(model))));
    return Math.max(usableShare * free, ...rooms);
  }

  private infoOf(name: string): ModelInfo | undefined {
    const info = this.pool.models.find((model) => model.name === name);
    return info?.runnable ? info : undefined;
  }
}

export function pixelsOf({ request }: JobOutline): number {
  return request.pixels.width * request.pixels.height;
}

function keptBy(model: CatalogueEntry | undefined): number {
  const needs = (model?.runnable && model.memoryNeeds) || [];
  return Math.max(0, ...needs.map(({ bytes }) => bytes));
}
