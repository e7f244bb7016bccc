// A child of the kit: a model in this process, without the service around it.

import { join } from 'node:path';
import { openDevice } from '../../src/engine/worker/device.js';
import type { Img2ImgRequest } from '../../src/img2img-request.js';
import { type Generation, isDone } from '../../src/pipeline/img2img.js';
import { loadModel, type Model } from '../../src/pipeline/model.js';
import type { Pixels } from '../../src/pixels.js';
import { median, randoms } from '../figures.js';
import { answersIn, round } from './answers.js';
import { shapes, type Task } from './plan.js';

const task: Task = JSON.parse(process.argv[2]!);
const { name, sides, rows: rowCounts } = shapes[task.shape];
const write = answersIn(task.out, task.since);
const isLate = () => Date.now() > task.until;
const timedCalls = { most: 5, ms: 3000 };

const device = await openDevice({ provider: task.provider, gpu: undefined, module: undefined });
const start = performance.now();
const file = join(task.models, `${name}.safetensors`);
const model = await loadModel(file, { provider: task.provider, threads: 0, cacheDir: task.cache }).catch((error) => {
  write({ question: 'loads', model: name, failed: (error as Error).message });
  process.exit(0); // the answer is written
});
write({
  question: 'loads',
  model: name,
  seconds: round((performance.now() - start) / 1000),
  components: Object.fromEntries(Object.entries(model.sessions).map(([part, { loadMs }]) => [part, round(loadMs, 0)])),
});

for (const side of sides) {
  await askParts(side);
  await askSteps(side);
  if (side === sides[0]) await askDrift(side);
}

/** The first picture of a size, then another: what encoding and decoding take, ms. */
async function askParts(side: number): Promise<void> {
  if (isLate()) return write({ question: 'picture_parts', model: name, side, failed: 'out of time' });
  const times = [];
  for (const seed of [1, 2, 3]) {
    const begin = performance.now();
    const generations = await device.prepare(model, [request(side, seed, 1)]);
    const prepared = performance.now();
    await device.denoise(model, generations);
    const denoised = performance.now();
    await device.decode(model, generations);
    times.push({
      encodeMs: round(prepared - begin, 1),
      stepMs: round(denoised - prepared, 1),
      decodeMs: round(performance.now() - denoised, 1),
    });
  }
  write({ question: 'picture_parts', model: name, side, first: times[0], later: times.slice(1) });
}

/** Calls of 1 row, 2 rows, ... of unguided generations. */
async function askSteps(side: number): Promise<void> {
  const generations: Generation[] = [];
  for (const rows of rowCounts) {
    if (isLate()) return write({ question: 'step_time', model: name, side, rows, failed: 'out of time' });
    try {
      while (generations.length < rows) {
        generations.push(...(await device.prepare(model, [request(side, generations.length, 100)])));
      }
      const [firstMs, ...laterMs] = await callTimes(generations);
      const ms = median(laterMs.length > 0 ? laterMs : [firstMs!]);
      const figures = { firstMs: round(firstMs!), ms: round(ms), msPerRow: round(ms / rows), calls: laterMs.length };
      write({ question: 'step_time', model: name, side, rows, ...figures });
    } catch (error) {
      return write({ question: 'step_time', model: name, side, rows, failed: (error as Error).message });
    }
  }
}

async function callTimes(generations: readonly Generation[]): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + timedCalls.ms;
  while (times.length <= timedCalls.most && (times.length < 2 || performance.now() < end) && !isLate()) {
    const begin = performance.now();
    await device.denoise(model, generations);
    times.push(performance.now() - begin);
  }
  return times;
}

/** The same four requests, each alone, and all in the same calls: how far their pictures' values differ, of 255. */
async function askDrift(side: number): Promise<void> {
  if (isLate()) return write({ question: 'drift', model: name, side, failed: 'out of time' });
  const requests = [1, 2, 3, 4].map((seed) => ({ ...request(side, seed, 8), strength: 1, guidanceScale: 5 }));
  const alone: Pixels[] = [];
  for (const one of requests) alone.push(...(await pictures(model, [one])));
  const again = await pictures(model, requests.slice(0, 1));
  const together = await pictures(model, requests);
  write({
    ...{ question: 'drift', model: name, side, pictures: requests.length, steps: 8 },
    togetherAndAlone: alone.map((one, i) => difference(one.data, together[i]!.data)),
    aloneTwice: difference(alone[0]!.data, again[0]!.data),
    valuesInAPicture: new Set(alone[0]!.data).size,
  });
}

async function pictures(on: Model, requests: readonly Img2ImgRequest[]): Promise<Pixels[]> {
  const generations = await device.prepare(on, requests);
  while (!isDone(generations[0]!)) await device.denoise(on, generations);
  return device.decode(on, generations);
}

function difference(a: Uint8Array, b: Uint8Array) {
  let [most, sum] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const one = Math.abs(a[i]! - b[i]!);
    most = Math.max(most, one);
    sum += one;
  }
  return { most, mean: round(sum / a.length, 4) };
}

function request(side: number, seed: number, steps: number): Img2ImgRequest {
  const random = randoms(seed);
  const pixels = { data: Uint8Array.from({ length: 3 * side ** 2 }, () => 256 * random()), width: side, height: side };
  return {
    ...{ pixels, prompt: `number ${seed}`, negativePrompt: '', strength: 1, guidanceScale: 1 },
    ...{ steps, scheduler: 'ddim', seed },
  };
}
