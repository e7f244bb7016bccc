// Flux.1 Kontext against diffusers: the starter as context, and how much of it stays where a request says so.

import { join } from 'node:path';
import t from 'tap';
import type { Img2ImgRequest } from '../../src/img2img-request.js';
import { readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { TorchGenerator } from '../../src/pipeline/numbers/noise.js';
import { distance, maskedRequestOf } from './cases.js';
import { makesDiffusersPictures, picture } from './diffusers-pictures.js';
import { casesOf, fluxTensors, golden, writeFluxFolder } from './flux.js';
import type { WrittenTensor } from './safetensors/write.js';
import { json, writeWeights } from './stable-diffusion-3.js';

const parent = t.testdir();
const folder = writeFluxFolder(join(parent, 'kontext'), 'flux-kontext');
const load = (path: string) => loadModel(path, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });

t.test("it makes diffusers' pictures, alone and beside others byte for byte the same", async (t) => {
  const model = await load(folder);
  const cases = casesOf('flux-kontext');
  t.equal(cases.filter(({ strength, box }) => strength === 1 && !box).length, 6, 'of them with noise alone');
  await makesDiffusersPictures(t, model, cases, 4);
  await releaseModel(model);
});

t.test('all that a request says moves the picture by more than 5 of 255, and so do the shift and the T5', async (t) => {
  const model = await load(folder);
  const [first] = casesOf('flux-kontext');
  const request: Img2ImgRequest = { ...maskedRequestOf(first!), negativePrompt: 'blue ink', trueGuidance: 2 };
  const before = await picture(model, request);
  const changes: Readonly<Record<string, Partial<Img2ImgRequest>>> = {
    'another prompt': { prompt: 'soft studio light' },
    'more guidance': { guidanceScale: request.guidanceScale + 1 },
    'another negative prompt': { negativePrompt: 'soft wood' },
    'another seed': { seed: 1 },
  };
  for (const [what, change] of Object.entries(changes)) {
    const moved = distance(before, await picture(model, { ...request, ...change }));
    t.ok(moved > 5, `${what}: ${moved}`);
  }
  const inverted = { ...request.pixels, data: request.pixels.data.map((sample) => 255 - sample) };
  const seen = distance(before, await picture(model, { ...request, pixels: inverted }));
  t.ok(seen > 0.3, `another starter, which is 16 tokens beside 512 of the prompt: ${seen}`);
  await releaseModel(model);
  const shifted = writeFluxFolder(join(parent, 'shifted'), 'flux-kontext');
  const config = golden.families['flux-kontext'].files['scheduler/scheduler_config.json'];
  json(shifted, 'scheduler/scheduler_config.json', { ...config, base_shift: 0.6, max_shift: 1.25 });
  const other = await load(shifted);
  const moved = distance(before, await picture(other, request));
  t.ok(moved > 5, `mu + 0.1: ${moved}`);
  await releaseModel(other);
  const silent = writeFluxFolder(join(parent, 'silent'), 'flux-kontext');
  const zeros = fluxTensors('flux-kontext', 'text_encoder_2').map(([name, tensor]): [string, WrittenTensor] => [
    name,
    name === 'encoder.final_layer_norm.weight' ? { ...tensor, data: new Uint8Array(tensor.data.length) } : tensor,
  ]);
  writeWeights(silent, 'text_encoder_2', zeros, true);
  const withoutT5 = await load(silent);
  const noText = distance(before, await picture(withoutT5, request));
  t.ok(noText > 5, `T5 left empty: ${noText}`);
  await releaseModel(withoutT5);
});

t.test('the more influence, the nearer to the starter', async (t) => {
  const model = await load(folder);
  const [first] = casesOf('flux-kontext');
  const { pixels, ...request } = maskedRequestOf(first!);
  const dots = new TorchGenerator(3).randn(pixels.data.length);
  const starters = [
    pixels.data,
    pixels.data.map((sample) => 255 - sample),
    pixels.data.map((_, i) => Math.min(Math.max(127.5 + 60 * dots[i]!, 0), 255)),
  ];
  const means: number[] = [];
  for (const influence of [0, 25, 50, 75, 100]) {
    let sum = 0;
    for (const data of starters) {
      const starter = { ...pixels, data };
      const made = await picture(model, { ...request, steps: 20, pixels: starter, strength: (100 - influence) / 100 });
      sum += distance(made, await picture(model, { ...request, pixels: starter, strength: 0 }));
    }
    means.push(sum / starters.length);
  }
  t.ok(
    means.every((mean, i) => i === 0 || mean < means[i - 1]!),
    `${means.map((mean) => mean.toFixed(1))}`,
  );
  await releaseModel(model);
});

t.test('a folder tells what it is', async (t) => {
  t.match(readModelFolder(folder, 'cpu'), {
    kind: 'flux-kontext',
    family: { rules: { schedule: 'part', guidance: 'distilled', masks: true } },
    defaults: { steps: 28, guidance: 3.5, strength: 1 },
    size: { native: 512, multiple: 8, min: 32 },
  });
});
