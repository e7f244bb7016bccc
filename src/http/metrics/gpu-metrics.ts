// The GPUs' gauges. Without a GPU, and while its driver does not answer, they have no samples.

import { Gauge, type Registry } from 'prom-client';
import type { EngineStatus } from '../../engine/host/engine.js';
import type { GpuTelemetry } from '../../engine/host/gpu-telemetry.js';

type Reading = GpuTelemetry['gpus'][number];

/** What is asked of either. */
export type ReadableTelemetry = Pick<GpuTelemetry, 'gpus'>;

export function gpuMetrics(
  registry: Registry,
  telemetry: ReadableTelemetry,
  engine: { readonly status: Pick<EngineStatus, 'workers'> },
): void {
  const gauge = (name: string, help: string, read: (reading: Reading) => number | undefined) =>
    new Gauge({
      name: `img2img_gpu_${name}`,
      help,
      labelNames: ['gpu', 'uuid'],
      registers: [registry],
      collect() {
        this.reset();
        for (const reading of telemetry.gpus) {
          const value = read(reading);
          if (value !== undefined) this.set({ gpu: reading.gpu, uuid: reading.uuid }, value);
        }
      },
    });
  gauge('memory_used_bytes', 'Memory in use on the device, by all processes.', ({ memory }) => memory.used);
  gauge('memory_total_bytes', 'Memory of the device.', ({ memory }) => memory.total);
  gauge('memory_peak_bytes', 'Most memory seen in use since the start.', ({ peakBytes }) => peakBytes);
  gauge(
    'memory_budget_bytes',
    'What a request may use on the device: nine tenths of what is free, and what those before it have left to their model.',
    ({ gpu }) => engine.status.workers.find((worker) => worker.gpu === gpu)?.gpuBudgetBytes,
  );
  gauge('utilization_ratio', 'Share of the last sample in which a kernel ran.', ({ utilization }) => utilization);
  new Gauge({
    name: 'img2img_gpu_info',
    help: 'Always 1; the labels tell the device.',
    labelNames: ['gpu', 'uuid', 'name', 'driver', 'mig'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { gpu, uuid, name, driver, mig } of telemetry.gpus) {
        this.set({ gpu, uuid, name, driver, mig: String(mig) }, 1);
      }
    },
  });
}
