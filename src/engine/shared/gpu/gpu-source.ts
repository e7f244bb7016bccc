// Who can be asked about the GPUs of this machine.

import type { GpuSource } from './gpu-reading.js';
import { openNvidiaSmi } from './nvidia-smi.js';
import { openNvml } from './nvml.js';

/** NVML, or nvidia-smi, or undefined without an NVIDIA GPU. */
export async function openGpuSource(): Promise<GpuSource | undefined> {
  return (await openNvml()) ?? (await openNvidiaSmi());
}
