// What the GPUs of this machine say of themselves, polled off the path of requests. Nothing is told where there is no GPU,
// and nothing that is older than a few polls.

import { setTimeout as sleep } from 'node:timers/promises';
import type { GpuReading, GpuSource } from '../shared/gpu/gpu-reading.js';

/** A reading that so many polls have not renewed is not told any more. */
const freshPolls = 3;

export class GpuTelemetry {
  private readings: readonly GpuReading[] = [];
  private readAt = Number.NEGATIVE_INFINITY;
  private readonly peaks = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private reading: Promise<void> | undefined;

  /** @param everyMs between two polls; a poll that takes longer is waited for */
  constructor(
    private readonly source: GpuSource,
    private readonly everyMs: number,
  ) {}

  /** Polls once, and from then on. A driver that hangs is not waited for. */
  async start(): Promise<void> {
    this.timer = setInterval(() => this.poll(), this.everyMs).unref();
    await Promise.race([this.poll(), sleep(this.everyMs)]);
  }

  /** The latest readings, each with the most memory that was seen in use. Empty when they are not fresh. */
  get gpus(): readonly (GpuReading & { readonly peakBytes: number })[] {
    if (performance.now() - this.readAt > freshPolls * this.everyMs) return [];
    return this.readings.map((reading) => ({ ...reading, peakBytes: this.peaks.get(reading.uuid)! }));
  }

  /** What a GPU can still give; undefined when that is not known. */
  freeBytes(gpu: string): number | undefined {
    const memory = this.gpus.find((reading) => reading.gpu === gpu)?.memory;
    return memory && memory.total - memory.used;
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    // A poll that hangs in the driver cannot be ended; the process's end does not wait for it.
    if (!this.reading) await this.source.close();
  }

  private poll(): Promise<void> {
    this.reading ??= this.read().finally(() => {
      this.reading = undefined;
    });
    return this.reading;
  }

  private async read(): Promise<void> {
    try {
      const readings = await this.source.read();
      for (const { uuid, memory } of readings) {
        this.peaks.set(uuid, Math.max(this.peaks.get(uuid) ?? 0, memory.used));
      }
      this.readings = readings;
      this.readAt = performance.now();
    } catch {
      // The readings grow old, and are then not told.
    }
  }
}
