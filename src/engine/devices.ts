// DEVICES and THREADS -> what each worker runs on.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';

export interface Device {
  /** As the settings name it: cpu, cuda:0. */
  readonly name: string;
  readonly provider: 'cpu' | 'cuda';
  /** Index of the GPU; absent on the CPU. */
  readonly gpu?: number;
}

/**
 * One device per worker.
 * @param spec `auto`, or a comma list of `cpu`, `cpu*N` (N workers) and `cuda:N`; auto takes all NVIDIA GPUs that
 *   onnxruntime's CUDA provider can serve, else the CPU
 * @throws Error with a sentence for a spec that cannot be read
 */
export function parseDevices(spec: string, nvidiaGpus: () => number = countNvidiaGpus): Device[] {
  if (spec === 'auto') {
    const gpus = nvidiaGpus();
    return gpus === 0 ? [cpu] : Array.from({ length: gpus }, (_, gpu) => cuda(gpu));
  }
  return spec.split(',').flatMap((part) => {
    const match = /^(?:cpu(?:\*([1-9]\d?))?|cuda:(\d{1,2}))$/.exec(part.trim());
    if (!match)
      throw new Error(`DEVICES is ${JSON.stringify(spec)}; it must be auto or a list of cpu, cpu*N and cuda:N.`);
    const [, workers, gpu] = match;
    return gpu === undefined ? Array<Device>(Number(workers ?? 1)).fill(cpu) : [cuda(Number(gpu))];
  });
}

/** Threads of one worker's model runs: the cores that this process may use, shared among the workers on the CPU. */
export function threadsPerWorker(setting: number | undefined, devices: readonly Device[]): number {
  if (setting !== undefined) return setting;
  const sharing = devices.filter((device) => device.provider === 'cpu').length;
  return Math.max(1, Math.floor(Math.min(availableParallelism(), cgroupCpus()) / Math.max(1, sharing)));
}

const cpu: Device = { name: 'cpu', provider: 'cpu' };
const cuda = (gpu: number): Device => ({ name: `cuda:${gpu}`, provider: 'cuda', gpu });

/** The CPU quota of a container (cgroup v2), which Node's availableParallelism does not see. */
function cgroupCpus(): number {
  try {
    const [quota, period] = readFileSync('/sys/fs/cgroup/cpu.max', 'utf8').trim().split(' ');
    return quota === 'max' ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(Number(quota) / Number(period)));
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** 0 unless both the driver and onnxruntime's CUDA provider (a separate download) are there. */
function countNvidiaGpus(): number {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const provider = join(root, 'bin/napi-v6', process.platform, process.arch, 'libonnxruntime_providers_cuda.so');
  if (!existsSync(provider) || !existsSync('/proc/driver/nvidia/gpus')) return 0;
  return readdirSync('/proc/driver/nvidia/gpus').length;
}
