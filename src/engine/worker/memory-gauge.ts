// What a worker's device has in use, so that warm-up can measure what a request needs of it. Lives in the worker.

import { readFileSync, writeFileSync } from 'node:fs';
import type { GpuSource } from '../shared/gpu/gpu-reading.js';

/** Bytes; undefined where the system does not tell. */
export interface MemoryGauge {
  used(): Promise<number | undefined>;
  forgetPeak(): void;
  /** The most that was in use since forgetPeak. */
  peak(): Promise<number | undefined>;
  /** What requests may still get; absent where the HTTP process sees that by itself, as it does of machines and GPUs. */
  free?(): number | undefined;
}

/** Of this process: what a CPU's models and pictures live in. */
export const processMemory: MemoryGauge = {
  used: async () => process.memoryUsage.rss(),
  forgetPeak() {
    try {
      writeFileSync('/proc/self/clear_refs', '5');
    } catch {
      // The peak of loading stays: what is measured is then too little for small sizes, and right for large ones.
    }
  },
  async peak() {
    try {
      const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
      return kib === undefined ? undefined : Number(kib) * 1024;
    } catch {
      return undefined;
    }
  },
};

/**
 * Of a whole GPU. Its peak is what is in use: onnxruntime's arena gives nothing back.
 * @param gpu as GpuReading names it
 */
export function gpuMemory(source: GpuSource | undefined, gpu: string): MemoryGauge {
  const used = async () => {
    try {
      return (await source?.read())?.find((reading) => reading.gpu === gpu)?.memory.used;
    } catch {
      return undefined;
    }
  };
  return { used, forgetPeak() {}, peak: used };
}
