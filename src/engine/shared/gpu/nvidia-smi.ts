// GPU readings from nvidia-smi, where NVML itself cannot be called. Source: `nvidia-smi --help-query-gpu`.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { GpuReading, GpuSource } from './gpu-reading.js';

const run = promisify(execFile);
const fields = 'index,uuid,name,driver_version,mig.mode.current,memory.used,memory.total,utilization.gpu';
const timeoutMs = 10_000;
const mebibyte = 2 ** 20;

/** @returns undefined where there is no nvidia-smi, or it fails */
export async function openNvidiaSmi(program = 'nvidia-smi'): Promise<GpuSource | undefined> {
  const source: GpuSource = {
    name: 'nvidia-smi',
    async read() {
      const options = [`--query-gpu=${fields}`, '--format=csv,noheader,nounits'];
      const { stdout } = await run(program, options, { timeout: timeoutMs, killSignal: 'SIGKILL' });
      return parseNvidiaSmi(stdout);
    },
    close: async () => {},
  };
  return source.read().then(
    () => source,
    () => undefined,
  );
}

/** A GPU that is split (MIG) is left out: what nvidia-smi says of the whole is not what a worker has. */
export function parseNvidiaSmi(csv: string): GpuReading[] {
  return csv
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => line.split(',').map((value) => value.trim()))
    .filter(([, , , , mig]) => mig !== 'Enabled')
    .map(([gpu, uuid, name, driver, , used, total, utilization]) => ({
      gpu: gpu!,
      uuid: uuid!,
      name: name!,
      driver: driver!,
      mig: false,
      memory: { used: Number(used) * mebibyte, total: Number(total) * mebibyte },
      utilization: Number.isFinite(Number(utilization)) ? Number(utilization) / 100 : undefined,
    }))
    .filter(({ memory }) => Number.isFinite(memory.used) && memory.total > 0);
}
