// DEVICES, THREADS and WORKER_MODULE -> what each worker runs on.

import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { pathToFileURL } from 'node:url';
import { type ExperimentalProvider, experimentalProviders, type Provider } from '../../model-facts.js';
import { hasCudaProvider } from '../shared/gpu/cuda-provider.js';
import type { GpuReading } from '../shared/gpu/gpu-reading.js';
import { cgroup } from './cgroup.js';
import { probeProvider } from './provider-probe.js';

export interface Device {
  /** As the settings name it: cpu, cuda:0, cuda:0:1, webgpu. */
  readonly name: string;
  readonly provider: Provider;
  /** The GPU as GpuReading names it; absent on the CPU. */
  readonly gpu?: string;
  /** What CUDA_VISIBLE_DEVICES must be for the worker to see its GPU and no other. */
  readonly visible?: string;
  /** The processor's own name, without spaces; the provider's where it does not tell. */
  readonly hardware: string;
}

/** What the driver says of a GPU, or of an instance of a split one. */
export type Gpu = Pick<GpuReading, 'gpu' | 'uuid' | 'name' | 'mig'>;

/**
 * One device per worker.
 * @param spec `auto`, or a comma list of `cpu`, `cpu*N` (N workers), `cuda:N`, `cuda:N:M` (an instance of a split GPU), `webgpu`, `coreml` and
 *   `dml` (the adapter that the platform gives first); auto takes all NVIDIA GPUs and instances where onnxruntime's CUDA provider is installed, else the CPU
 * @param gpus what NVML or nvidia-smi tells; empty where neither is there
 * @param probe says why an experimental provider cannot run here
 * @throws Error with a sentence for a spec that cannot be read
 */
export function parseDevices(
  spec: string,
  gpus: readonly Gpu[] = [],
  hasProvider: () => boolean = hasCudaProvider,
  probe: (provider: ExperimentalProvider) => string | undefined = probeProvider,
): Device[] {
  if (spec === 'auto') {
    const names = namesOf(gpus);
    return names.length > 0 && hasProvider() ? names.map((name) => cuda(name, gpus)) : [cpu];
  }
  const faults = new Map<ExperimentalProvider, string | undefined>();
  return spec.split(',').flatMap((part) => {
    const other = experimentalProviders.find((provider) => provider === part.trim());
    if (other) {
      if (!faults.has(other)) faults.set(other, probe(other));
      const fault = faults.get(other);
      if (fault !== undefined) throw new Error(`DEVICES names ${other}; ${fault}.`);
      return [{ name: other, provider: other, hardware: other }];
    }
    const match = /^(?:cpu(?:\*([1-9]\d?))?|cuda:(\d{1,2}(?::\d{1,2})?))$/.exec(part.trim());
    if (!match)
      throw new Error(
        `DEVICES is ${JSON.stringify(spec)}; it must be auto or a list of cpu, cpu*N, cuda:N, cuda:N:M, webgpu, coreml and dml.`,
      );
    const [, workers, gpu] = match;
    if (gpu !== undefined) return [cuda(gpu, gpus)];
    return Array<Device>(Number(workers ?? 1)).fill(cpu);
  });
}

/** `no_provider`: DEVICES is auto, and onnxruntime's CUDA provider is not installed; `not_named`: DEVICES names others. */
export const unusedReasons = ['no_provider', 'not_named'] as const;
export type UnusedReason = (typeof unusedReasons)[number];

export interface UnusedGpus {
  readonly reason: UnusedReason;
  /** As GpuReading names them. */
  readonly gpus: readonly string[];
}

/**
 * GPUs that the driver tells of and no worker runs on.
 * @param devices what parseDevices made of the same `spec` and `gpus`
 * @returns undefined where all are used, or there are none
 */
export function unusedGpus(
  spec: string,
  devices: readonly Device[],
  gpus: readonly Gpu[] = [],
): UnusedGpus | undefined {
  const unused = namesOf(gpus).filter((name) => !devices.some(({ gpu }) => gpu === name));
  if (unused.length === 0) return undefined;
  return { reason: spec === 'auto' ? 'no_provider' : 'not_named', gpus: unused };
}

/** Threads of one worker's model runs: the cores that this process may use, shared among the workers on the CPU. */
export function threadsPerWorker(setting: number | undefined, devices: readonly Device[]): number {
  if (setting !== undefined) return setting;
  const sharing = devices.filter((device) => device.provider !== 'cuda').length;
  return Math.max(1, Math.floor(Math.min(availableParallelism(), cgroup.cpus()) / Math.max(1, sharing)));
}

/**
 * The address of a module that exports a device for the workers (DeviceModule).
 * @param setting a path or an address of a file, with a query where the module takes one
 * @throws Error with a sentence where there is no such file
 */
export function deviceModule(setting: string | undefined): string | undefined {
  if (setting === undefined) return undefined;
  const address = new URL(setting, pathToFileURL(`${process.cwd()}/`));
  if (address.protocol === 'file:' && existsSync(address)) return address.href;
  throw new Error(`WORKER_MODULE is ${JSON.stringify(setting)}; it must be a file that is there.`);
}

const cpu: Device = { name: 'cpu', provider: 'cpu', hardware: oneWord(cpus()[0]?.model ?? process.arch) };

/**
 * CUDA sees an instance of a split GPU only by its UUID, and one per process; the first is meant where only the GPU is named.
 * @throws Error where the driver says that there is no such instance
 */
function cuda(gpu: string, gpus: readonly Gpu[]): Device {
  const found = gpus.find((one) => one.gpu === gpu) ?? gpus.find((one) => one.mig && one.gpu === `${gpu}:0`);
  if (!found && gpu.includes(':'))
    throw new Error(`DEVICES names cuda:${gpu}; the driver tells of no such instance of a split GPU.`);
  return {
    name: `cuda:${gpu}`,
    provider: 'cuda',
    gpu: found?.gpu ?? gpu,
    visible: found?.mig ? found.uuid : gpu,
    hardware: found ? oneWord(found.name) : `gpu-${gpu}`,
  };
}

function oneWord(text: string): string {
  return text.replace(/[^\w.-]+/g, '-').replace(/^-|-$/g, '');
}

function namesOf(gpus: readonly Gpu[]): string[] {
  return gpus.length > 0 ? gpus.map(({ gpu }) => gpu) : driverFolders().map((_, index) => String(index));
}

/** The driver's own list of GPUs, for where it has no library to ask. */
function driverFolders(): string[] {
  try {
    return readdirSync('/proc/driver/nvidia/gpus');
  } catch {
    return [];
  }
}
