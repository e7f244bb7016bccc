// What the engine says of itself: its load, its workers, its steps. Labels come from closed sets and from the models' names.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { cancelPhases, cancelReasons, type Engine, exitReasons } from '../../engine/host/engine.js';

/** Doubling, as a batch does. */
const stepBuckets = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56];
const rowBuckets = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];

export function engineMetrics(registry: Registry, engine: Engine): void {
  loadGauges(registry, engine);
  modelMetrics(registry, engine);
  workerMetrics(registry, engine);
  stepMetrics(registry, engine);
}

function loadGauges(registry: Registry, engine: Engine): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `img2img_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  gauge('queue_depth', 'Requests that wait for a worker.', () => engine.status.queueDepth);
  gauge('in_flight_requests', 'Requests on a worker.', () => engine.status.inFlight);
  gauge('slots', 'Requests that can run at the same time.', () => engine.status.slots);
  gauge('queue_limit', 'Requests that may wait.', () => engine.status.queueLimit);
  gauge('saturation_ratio', 'Requests that run or wait, per slot; may pass 1.', () => {
    const { inFlight, queueDepth, slots } = engine.status;
    return (inFlight + queueDepth) / slots;
  });
  gauge(
    'queue_oldest_age_seconds',
    'How long the request that waits longest has waited.',
    () => engine.status.oldestQueuedMs / 1000,
  );
  gauge(
    'estimated_wait_seconds',
    'How long a request that comes now would wait.',
    () => engine.status.estimatedWaitMs / 1000,
  );
  const cancelled = new Counter({
    name: 'img2img_cancelled_requests_total',
    help: 'Accepted requests that ended before their picture.',
    labelNames: ['phase', 'reason'],
    registers: [registry],
  });
  for (const phase of cancelPhases) {
    for (const reason of cancelReasons) cancelled.inc({ phase, reason }, 0);
  }
  engine.on('cancelled', (labels) => cancelled.inc(labels));
}

function modelMetrics(registry: Registry, engine: Engine): void {
  new Gauge({
    name: 'img2img_model_info',
    help: 'Always 1; the labels tell the model.',
    labelNames: ['model', 'digest', 'precision'],
    registers: [registry],
    collect() {
      this.reset();
      for (const model of engine.models) {
        if (model.runnable) this.set({ model: model.name, digest: model.digest, precision: model.precision }, 1);
      }
    },
  });
  const loaded = new Gauge({
    name: 'img2img_model_load_duration_seconds',
    help: 'How long the latest load of a model took, by component.',
    labelNames: ['model', 'component'],
    registers: [registry],
  });
  engine.on('modelLoaded', ({ model, component, ms }) => loaded.set({ model, component }, ms / 1000));
  const counter = (name: string, help: string) =>
    new Counter({ name: `img2img_prompt_cache_${name}_total`, help, registers: [registry] });
  const hits = counter('hits', 'Prompts that were encoded before.');
  const misses = counter('misses', 'Prompts that had to be encoded.');
  engine.on('promptCache', (change) => {
    hits.inc(change.hits);
    misses.inc(change.misses);
  });
}

function workerMetrics(registry: Registry, engine: Engine): void {
  new Gauge({
    name: 'img2img_gpu_unused',
    help: 'GPUs that the driver tells of and no worker runs on; no sample where there are none.',
    labelNames: ['reason'],
    registers: [registry],
    collect() {
      const { unusedGpus } = engine;
      if (unusedGpus) this.set({ reason: unusedGpus.reason }, unusedGpus.gpus.length);
    },
  });
  const labelNames = ['worker', 'device'] as const;
  new Gauge({
    name: 'img2img_worker_up',
    help: '1 when the worker can take requests.',
    labelNames,
    registers: [registry],
    collect() {
      for (const [worker, { device, up }] of engine.status.workers.entries()) this.set({ worker, device }, Number(up));
    },
  });
  new Gauge({
    name: 'img2img_worker_memory_bytes',
    help: 'Resident memory of the worker, while it is up.',
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      for (const [worker, { device, up, memoryBytes }] of engine.status.workers.entries()) {
        if (up && memoryBytes !== undefined) this.set({ worker, device }, memoryBytes);
      }
    },
  });
  const restarts = new Counter({
    name: 'img2img_worker_restarts_total',
    help: 'Workers that ended unasked and were started again.',
    labelNames: [...labelNames, 'reason'],
    registers: [registry],
  });
  for (const [worker, { device }] of engine.status.workers.entries()) {
    for (const reason of exitReasons) restarts.inc({ worker, device, reason }, 0);
  }
  engine.on('workerExit', ({ worker, device, reason }) => restarts.inc({ worker, device, reason }));
}

function stepMetrics(registry: Registry, engine: Engine): void {
  const duration = new Histogram({
    name: 'img2img_step_duration_seconds',
    help: 'One UNet call.',
    labelNames: ['model', 'rows'],
    buckets: stepBuckets,
    registers: [registry],
  });
  const rowsPerCall = new Histogram({
    name: 'img2img_batch_rows',
    help: 'Rows of a UNet call.',
    labelNames: ['model'],
    buckets: rowBuckets,
    registers: [registry],
  });
  const steps = new Counter({
    name: 'img2img_steps_total',
    help: 'UNet calls.',
    labelNames: ['model'],
    registers: [registry],
  });
  engine.on('step', ({ model, rows, ms }) => {
    duration.observe({ model, rows }, ms / 1000);
    rowsPerCall.observe({ model }, rows);
    steps.inc({ model });
  });
}
