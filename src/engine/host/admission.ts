// Whether a request can be taken now, and when a refused one should come again.

import type { FairQueue } from '../../fair-queue.js';
import { EngineError } from '../shared/errors.js';
import type { AdmittedJob } from './admitted-job.js';
import { type Forecast, unknownWorkMs } from './forecast.js';
import type { Pool } from './pool.js';
import type { JobOutline } from './requests.js';

export interface AdmissionSettings {
  /** Pictures that may wait, beyond those that run. */
  readonly maxQueue: number;
  /** Bytes of the decoded pictures of all requests together, starters and answers. */
  readonly maxPictureBytes: number;
}

export class Admission {
  private pictureBytes = 0;

  constructor(
    private readonly settings: AdmissionSettings,
    private readonly pool: Pool,
    private readonly queue: FairQueue<AdmittedJob>,
    private readonly forecast: Forecast,
  ) {}

  /** Counts the pictures of jobs that were taken, until they are released. */
  take(jobs: readonly JobOutline[]): { release(): void } {
    const bytes = bytesOf(jobs);
    this.pictureBytes += bytes;
    return {
      release: () => {
        this.pictureBytes -= bytes;
      },
    };
  }

  /**
   * @param jobs absent while nothing is known of them: then it is asked for one place
   * @param deadline on the clock of performance.now()
   * @returns why they cannot be taken now
   */
  refusal(jobs: readonly JobOutline[] | undefined, deadline: number | undefined): EngineError | undefined {
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
    const before = this.forecast.timetable([unknownWorkMs]);
    const lacking = Math.min(waiting + jobs - maxQueue, before.length);
    const detail = `The queue is full: ${waiting} pictures wait already, and at most ${maxQueue} may.`;
    return new EngineError('overloaded', detail, seconds(before[lacking - 1]!.startMs));
  }

  private deadlineRefusal(jobs: readonly JobOutline[], deadline: number | undefined): EngineError | undefined {
    if (deadline === undefined || jobs.length === 0 || !this.pool.hasReadyWorker) return undefined;
    const { waitMs, durationMs } = this.forecast.estimate(jobs);
    const leftMs = deadline - performance.now();
    if (leftMs <= 0)
      return new EngineError('deadline_exceeded', "The request's time was up before it could be queued.");
    if (!isUnattainable(waitMs + durationMs, leftMs)) return undefined;
    const detail = `The answer is likely to take ${seconds(waitMs + durationMs)} s, ${seconds(waitMs)} s of them waiting; the request's time (REQUEST_TIMEOUT_MS, or less by X-Request-Timeout-Ms) is up in ${(leftMs / 1000).toFixed(1)} s.`;
    // What does not end in time on an idle device will not do so later either, but other replicas may be faster.
    return new EngineError('deadline_unattainable', detail, seconds(waitMs + durationMs - leftMs));
  }

  private picturesRefusal(jobs: readonly JobOutline[]): EngineError | undefined {
    const { maxPictureBytes } = this.settings;
    const bytes = bytesOf(jobs);
    if (this.pictureBytes === 0 || this.pictureBytes + bytes <= maxPictureBytes) return undefined;
    const detail = `The pictures of the requests in flight have ${this.pictureBytes} bytes; with this one they would pass ${maxPictureBytes}.`;
    return new EngineError('overloaded', detail, seconds(this.forecast.timetable([unknownWorkMs])[0]!.startMs));
  }

  /** Memory that is short because others use it now is waited for; what never fits is refused. */
  private memoryRefusal(jobs: readonly JobOutline[]): EngineError | undefined {
    for (const job of jobs) {
      const need = this.forecast.memoryNeed(job);
      const has = this.forecast.memoryFor(job.model);
      if (need === undefined || need <= has) continue;
      const { width, height } = job.request.pixels;
      const detail = `${width} x ${height} pixels need about ${mebibytes(need)} MiB of the device's memory; a request may use ${mebibytes(has)} MiB. A smaller picture fits.`;
      return new EngineError('too_large_for_device', detail);
    }
    return undefined;
  }
}

/** Retry-After: whole seconds, at least one. */
function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

/** Expected times are rough: only a deadline that they miss by a quarter is unattainable. */
function isUnattainable(expectedMs: number, leftMs: number): boolean {
  return expectedMs > 1.25 * leftMs;
}

/** RGB of the starters, each once however many jobs share it, and of the answers. */
function bytesOf(jobs: readonly JobOutline[]): number {
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
