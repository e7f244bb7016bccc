// What a worker runs models on: the pipeline's calls, what they cost and what they need of memory.

import type { Img2ImgRequest } from '../../img2img-request.js';
import * as img2img from '../../pipeline/img2img.js';
import type { Model } from '../../pipeline/model.js';
import type { Pixels } from '../../pixels.js';
import { openGpuSource } from '../shared/gpu/gpu-source.js';
import type { StartMessage } from '../shared/messages.js';
import { gpuMemory, type MemoryGauge, processMemory } from './memory-gauge.js';

/** What calls cost, told by a clock that is read before and after. */
export interface CostClock {
  /** Wall time, or the CPU's time, which does not depend on what else runs there. */
  readonly kind: 'wall_time' | 'cpu_time';
  /** ms, from any beginning. */
  now(): number;
}

const wallTime: CostClock = { kind: 'wall_time', now: () => performance.now() };
const cpuTime: CostClock = {
  kind: 'cpu_time',
  now: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
};

/** The calls are those of pipeline/img2img. */
export interface Device {
  prepare(model: Model, requests: readonly Img2ImgRequest[]): Promise<img2img.Generation[]>;
  denoise(model: Model, generations: readonly img2img.Generation[], rowsPerCall?: number): Promise<void>;
  decode(model: Model, generations: readonly img2img.Generation[]): Promise<Pixels[]>;
  readonly cost: CostClock;
  readonly memory: MemoryGauge;
}

/** What a module of WORKER_MODULE exports. */
export interface DeviceModule {
  /** @param device the worker's own @returns what the worker uses instead */
  default(device: Device): Device;
}

export async function openDevice({
  provider,
  gpu,
  module,
}: Pick<StartMessage, 'provider' | 'gpu' | 'module'>): Promise<Device> {
  const memory = gpu === undefined ? processMemory : gpuMemory(await openGpuSource(), gpu);
  const { prepare, denoise, decode } = img2img;
  const device: Device = { prepare, denoise, decode, cost: provider === 'cpu' ? cpuTime : wallTime, memory };
  if (module === undefined) return device;
  const { default: replace }: DeviceModule = await import(module);
  return replace(device);
}
