// DEVICES and THREADS -> what each worker runs on.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';

/** standin is the CPU with costs and faults on demand, for tests and simulations: see stand-in.ts. */
export type Provider = 'cpu' | 'cuda' | 'standin';

export interface Device {
  /** As the settings name it: cpu, cuda:0. */
  readonly name: string;
  readonly provider: Provider;
  /** Index of the GPU; absent on the CPU. */
  readonly gpu?: number;
  /** The processor's own name, without spaces. */
  readonly hardware: string;
}

/**
 * One device per worker.
 * @param spec `auto`, or a comma list of `cpu`, `cpu*N` (N workers), `cuda:N` and, for tests, `standin`; auto takes all NVIDIA GPUs that
 *   onnxruntime's CUDA provider can serve, else the CPU
 * @throws Error with a sentence for a spec that cannot be read
 */
export function parseDevices(spec: string, nvidiaGpus: () => number = countNvidiaGpus): Device[] {
  if (spec === 'auto') {
    const gpus = nvidiaGpus();
    return gpus === 0 ? [cpu] : Array.from({ length: gpus }, (_, gpu) => cuda(gpu));
  }
  return spec.split(',').flatMap((part) => {
    const match = /^(?:(cpu|standin)(?:\*([1-9]\d?))?|cuda:(\d{1,2}))$/.exec(part.trim());
    if (!match)
      throw new Error(`DEVICES is ${JSON.stringify(spec)}; it must be auto or a list of cpu, cpu*N and cuda:N.`);
    const [, onCpu, workers, gpu] = match;
    if (gpu !== undefined) return [cuda(Number(gpu))];
    return Array<Device>(Number(workers ?? 1)).fill(onCpu === 'cpu' ? cpu : standIn);
  });
}

/** Threads of one worker's model runs: the cores that this process may use, shared among the workers on the CPU. */
export function threadsPerWorker(setting: number | undefined, devices: readonly Device[]): number {
  if (setting !== undefined) return setting;
  const sharing = devices.filter((device) => device.provider !== 'cuda').length;
  return Math.max(1, Math.floor(Math.min(availableParallelism(), cgroupCpus()) / Math.max(1, sharing)));
}

const cpu: Device = { name: 'cpu', provider: 'cpu', hardware: oneWord(cpus()[0]?.model ?? process.arch) };
const standIn: Device = { ...cpu, name: 'standin', provider: 'standin' };
const cuda = (gpu: number): Device => ({ name: `cuda:${gpu}`, provider: 'cuda', gpu, hardware: nvidiaModel(gpu) });

/** As the driver names it; the GPU's index where there is no driver to ask. The driver sorts by bus, as CUDA is told to. */
function nvidiaModel(gpu: number): string {
  try {
    const folder = readdirSync('/proc/driver/nvidia/gpus').sort()[gpu]!;
    const information = readFileSync(`/proc/driver/nvidia/gpus/${folder}/information`, 'utf8');
    return oneWord(/^Model:\s*(.+)$/m.exec(information)![1]!);
  } catch {
    return `gpu-${gpu}`;
  }
}

function oneWord(text: string): string {
  return text.replace(/[^\w.-]+/g, '-').replace(/^-|-$/g, '');
}

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
