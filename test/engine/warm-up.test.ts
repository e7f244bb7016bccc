import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { AdmittedJob } from '../../src/engine/host/admitted-job.js';
import { Forecast } from '../../src/engine/host/forecast.js';
import { predictNeed } from '../../src/engine/host/memory.js';
import { Pool } from '../../src/engine/host/pool.js';
import type { JobOutline } from '../../src/engine/host/requests.js';
import type { GpuReading, GpuSource } from '../../src/engine/shared/gpu/gpu-reading.js';
import type { ModelInfo } from '../../src/engine/shared/messages.js';
import { gpuMemory, processMemory } from '../../src/engine/worker/memory-gauge.js';
import { warmUp } from '../../src/engine/worker/warm-up.js';
import { FairQueue } from '../../src/fair-queue.js';
import * as img2img from '../../src/pipeline/img2img.js';
import { loadModel, type Model, releaseModel } from '../../src/pipeline/model.js';
import { writeFolder } from '../pipeline/folders.js';

const gibibyte = 2 ** 30;

/** A source whose only GPU, number 1, has so much in use. */
function source(used: () => number): GpuSource {
  const reading: Omit<GpuReading, 'memory'> = {
    gpu: '1',
    uuid: 'GPU-1',
    name: 'a GPU',
    driver: '1',
    mig: false,
    utilization: undefined,
  };
  return {
    name: 'stub',
    read: async () => [{ ...reading, memory: { used: used(), total: 80 * gibibyte } }],
    async close() {},
  };
}

const sideOf = ([first]: readonly img2img.Generation[]) => first!.request.pixels.width;

async function load(t: Test, path: string): Promise<Model> {
  const model = await loadModel(path, { provider: 'cpu', threads: 1, cacheDir: join(t.testdirName, 'cache') });
  t.teardown(() => releaseModel(model));
  return model;
}

const tiny = (t: Test) => load(t, 'test/reference/tiny');

t.test('warm-up measures what each size needs of a GPU, before rows are measured', async (t) => {
  for (const [model, rowsOfGuided] of [
    [await tiny(t), 2],
    [await load(t, writeFolder(t.testdir(), 'instruct-pix2pix')), 3],
  ] as const) {
    const { native, max } = model.folder.size;
    // An arena that keeps what it got: a byte for each pixel of each row of the largest call.
    let arena = 0;
    const { memoryNeeds, capacities } = await warmUp(model, {
      measureRows: true,
      device: {
        ...img2img,
        cost: { kind: 'wall_time', now: () => performance.now() },
        memory: gpuMemory(
          source(() => 5 * gibibyte + arena),
          '1',
        ),
        denoise: async (model, generations) => {
          const rows = generations.reduce((sum, generation) => sum + img2img.rowsOf(generation), 0);
          arena = Math.max(arena, rows * sideOf(generations) ** 2);
          await img2img.denoise(model, generations);
        },
      },
    });
    t.strictSame(memoryNeeds, [
      { pixels: native ** 2, bytes: rowsOfGuided * native ** 2 },
      { pixels: max ** 2, bytes: rowsOfGuided * max ** 2 },
    ]);
    const [first] = capacities;
    t.strictSame(
      capacities.map(({ width }) => width),
      [native, max],
    );
    t.ok(first!.calls.some(({ rows }) => rows === 1) && first!.calls.some(({ rows }) => rows === rowsOfGuided));
  }
});

t.test('a model that is slow on its CPU is measured at two small sizes, from which its memory is told', async (t) => {
  const model = await tiny(t);
  const size = { ...model.folder.size, min: 64, native: 512, max: 1024 };
  let used = gibibyte;
  const { memoryNeeds, capacities } = await warmUp(
    { ...model, folder: { ...model.folder, size } },
    {
      measureRows: true,
      device: {
        ...img2img,
        cost: { kind: 'cpu_time', now: () => performance.now() },
        memory: { used: async () => gibibyte, forgetPeak() {}, peak: async () => used },
        denoise: async (model, generations) => {
          used = gibibyte + 100 * sideOf(generations) ** 2;
          await img2img.denoise(model, generations);
          if (sideOf(generations) === 128) await sleep(1600); // longer than measuring may take
        },
      },
    },
  );
  t.strictSame(
    capacities.map(({ width }) => width),
    [128, 64],
  );
  t.equal(predictNeed(memoryNeeds, 512 ** 2), 100 * 512 ** 2);
});

t.test('a largest size that the memory has no room for is not measured, and stops nothing', async (t) => {
  const model = await tiny(t);
  const { native, max } = model.folder.size;
  const { memoryNeeds, capacities } = await warmUp(model, {
    measureRows: false,
    device: {
      ...img2img,
      cost: { kind: 'wall_time', now: () => performance.now() },
      memory: processMemory,
      denoise: async (model, generations) => {
        if (sideOf(generations) === max) throw new Error('CUDA failure 2: out of memory');
        await img2img.denoise(model, generations);
      },
    },
  });
  t.strictSame(
    memoryNeeds.map(({ pixels }) => pixels),
    [native ** 2],
  );
  t.notOk(capacities.some(({ width }) => width === max));
});

t.test(
  'a change of shape is measured where it takes longer than a call, and leaves the shape that most requests have',
  async (t) => {
    const model = await tiny(t);
    for (const kind of ['wall_time', 'cpu_time'] as const) {
      let shape = '';
      let changes = 0;
      const { changeMs } = await warmUp(model, {
        measureRows: false,
        device: {
          ...img2img,
          cost: { kind, now: () => performance.now() },
          memory: processMemory,
          denoise: async (model, generations) => {
            const rows = generations.reduce((sum, generation) => sum + img2img.rowsOf(generation), 0);
            const before = shape;
            shape = `${rows} of ${sideOf(generations)}`;
            if (shape !== before) {
              changes++;
              await sleep(300);
            }
            await img2img.denoise(model, generations);
          },
        },
      });
      if (kind === 'cpu_time') t.equal(changeMs, undefined);
      else t.ok(changeMs! > 200 && changeMs! < 1000, `${changeMs}`);
      t.ok(changes > 1);
      if (kind === 'wall_time') t.equal(shape, `2 of ${model.folder.size.native}`);
    }
  },
);

t.test('a GPU of which nothing is known has no gauge, and a process always has one', async (t) => {
  t.equal(await gpuMemory(undefined, '0').peak(), undefined);
  t.equal(
    await gpuMemory(
      source(() => 1),
      '0',
    ).used(),
    undefined,
    'another GPU',
  );
  const failing = { ...source(() => 1), read: () => Promise.reject(new Error('NVML answered with code 15')) };
  t.equal(await gpuMemory(failing, '1').used(), undefined);
  processMemory.forgetPeak();
  t.ok((await processMemory.peak())! > 2 ** 20);
});

t.test('a request may use what its GPU has free, and what the worker keeps', async (t) => {
  const settings = {
    modelsDir: 'test/reference',
    cacheDir: t.testdir(),
    devices: 'cuda:0,cuda:1',
    threads: 1,
    maxConcurrent: 1,
    stepTimeoutMs: 1000,
    modelMemoryBytes: undefined,
    workerModule: undefined,
    gpus: { gpus: [], freeBytes: (gpu: string) => [1000, 3000][Number(gpu)] },
  };
  const pool = new Pool(settings, { message() {}, exit() {}, stderr() {} });
  const forecast = new Forecast(settings, pool, new FairQueue<AdmittedJob>());
  t.equal(forecast.memoryFor('tiny'), 2700, 'nine tenths of the GPU that has more');
  const info = { name: 'tiny', runnable: true, memoryNeeds: [{ pixels: 100, bytes: 50 }] } as unknown as ModelInfo;
  pool.lanes[0]!.models = [info];
  t.equal(forecast.memoryFor('tiny'), 2750);
  t.equal(forecast.gpuBudget('0'), 950);
  t.equal(forecast.gpuBudget('7'), undefined, 'of which nobody tells');
  const pixels = { width: 10, height: 10 };
  for (const [guidance, guidanceScale, rows] of [
    ['prompts', 7.5, 2],
    ['prompts', 1, 1],
    ['embedded', 7.5, 1],
    ['prompts_and_starter', 7.5, 3],
    ['prompts_and_starter', 1, 1],
  ] as const) {
    pool.lanes[0]!.models = [{ ...info, rules: { schedule: 'part', guidance, masks: true } }];
    const request = { pixels, guidanceScale, imageGuidance: 1.5 } as unknown as JobOutline['request'];
    t.equal(forecast.rowsOf({ model: 'tiny', request }), rows, `${guidance} at ${guidanceScale}`);
  }
});
