// Flux.1 against diffusers, and what makes it another family.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { guidanceRows } from '../../src/guidance.js';
import type { Img2ImgRequest } from '../../src/img2img-request.js';
import { decisionsOf } from '../../src/pipeline/folder/decisions.js';
import { openSource, readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { packed, placesOf, unpacked } from '../../src/pipeline/numbers/packing.js';
import { muOf } from '../../src/pipeline/schedulers/flow-sigmas.js';
import { createSchedule } from '../../src/pipeline/schedulers/index.js';
import { closeShare, differencesFrom, distance, maskedRequestOf } from './cases.js';
import { makesDiffusersPictures, picture } from './diffusers-pictures.js';
import { casesOf, type FluxFamily, fluxTensors, golden, writeFluxFolder } from './flux.js';
import type { WrittenTensor } from './safetensors/write.js';
import { json, writeWeights } from './stable-diffusion-3.js';

const families = ['flux-dev', 'flux-schnell'] as const;
const parent = t.testdir();
const folders = Object.fromEntries(families.map((family) => [family, writeFluxFolder(join(parent, family), family)]));
const load = (folder: string) => loadModel(folder, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });
const read = (folder: string) => readModelFolder(folder, 'cpu');

for (const family of families) {
  t.test(`${family} makes diffusers' pictures, alone and beside others byte for byte the same`, async (t) => {
    const model = await load(folders[family]!);
    await makesDiffusersPictures(t, model, casesOf(family), 4);
    await releaseModel(model);
  });
}

/** With everything in it that counts. */
const whole = (family: FluxFamily): Img2ImgRequest => ({
  ...maskedRequestOf(casesOf(family)[0]!),
  negativePrompt: 'blue ink',
  trueGuidance: 2,
});

t.test('all that a request says moves the picture by more than 5 of 255', async (t) => {
  for (const family of families) {
    const model = await load(folders[family]!);
    const before = await picture(model, whole(family));
    const changes: Readonly<Record<string, Partial<Img2ImgRequest>>> = {
      'another prompt': { prompt: 'soft studio light' },
      'another negative prompt': { negativePrompt: 'soft wood' },
      'more true guidance': { trueGuidance: 3 },
      'another seed': { seed: 1 },
    };
    for (const [what, change] of Object.entries(changes)) {
      const moved = distance(before, await picture(model, { ...whole(family), ...change }));
      t.ok(moved > 5, `${family}, ${what}: ${moved}`);
    }
    const more = distance(before, await picture(model, { ...whole(family), guidanceScale: 8 }));
    if (family === 'flux-dev') t.ok(more > 5, `more guidance: ${more}`);
    else t.equal(more, 0, 'schnell takes no guidance');
    const alone = { ...whole(family), trueGuidance: 1 };
    const other = await picture(model, { ...alone, negativePrompt: 'soft wood' });
    t.strictSame(other, await picture(model, alone), 'a negative prompt has no effect without true guidance');
    await releaseModel(model);
  }
});

t.test('the T5 and the shift by size move it too', async (t) => {
  const dev = await load(folders['flux-dev']!);
  const before = await picture(dev, whole('flux-dev'));
  await releaseModel(dev);
  const silent = writeFluxFolder(join(parent, 'silent'), 'flux-dev');
  const zeros = fluxTensors('flux-dev', 'text_encoder_2').map(([name, tensor]): [string, WrittenTensor] => [
    name,
    name === 'encoder.final_layer_norm.weight' ? { ...tensor, data: new Uint8Array(tensor.data.length) } : tensor,
  ]);
  writeWeights(silent, 'text_encoder_2', zeros, true);
  const withoutT5 = await load(silent);
  const noText = distance(before, await picture(withoutT5, whole('flux-dev')));
  t.ok(noText > 5, `T5 left empty: ${noText}`);
  await releaseModel(withoutT5);

  const folder = writeFluxFolder(join(parent, 'shifted'), 'flux-dev');
  const config = golden.families['flux-dev'].files['scheduler/scheduler_config.json'];
  json(folder, 'scheduler/scheduler_config.json', { ...config, base_shift: 0.6, max_shift: 1.25 });
  const shifted = await load(folder);
  const moved = distance(before, await picture(shifted, whole('flux-dev')));
  t.ok(moved > 5, `mu + 0.1: ${moved}`);
  await releaseModel(shifted);
});

t.test("optimum's export of the transformer makes the same pictures beside parts from safetensors", async (t) => {
  const folder = writeFluxFolder(join(parent, 'exported'), 'flux-dev');
  writeFileSync(join(folder, 'transformer', 'model.onnx'), Buffer.from(golden.transformer, 'base64'));
  const model = await load(folder);
  t.match(model.folder, { exporter: 'optimum-onnx', latentChannels: 16, contextWidth: 96, kind: 'flux' });
  for (const c of casesOf('flux-dev').slice(0, 5)) {
    const request = maskedRequestOf(c);
    t.ok(closeShare(differencesFrom(c.pixels, await picture(model, request), request)) >= 0.999, c.prompt);
  }
  await releaseModel(model);
});

t.test('brain floats as weights make nearly the same picture', async (t) => {
  const model = await load(writeFluxFolder(join(parent, 'bfloat16'), 'flux-schnell', 'bfloat16'));
  const [c] = casesOf('flux-schnell');
  const moved = distance(await picture(model, maskedRequestOf(c!)), Buffer.from(c!.pixels, 'base64'));
  t.ok(moved < 5, `${moved}`);
  await releaseModel(model);
});

t.test('a folder tells what it is', async (t) => {
  t.match(read(folders['flux-dev']!), {
    kind: 'flux',
    exporter: 'img2img',
    family: { rules: { schedule: 'part', guidance: 'distilled', masks: true } },
    defaults: { steps: 28, guidance: 7, strength: 0.6, scheduler: 'flow_euler' },
    size: { native: 512, multiple: 8, min: 32, max: 1024 },
    vaeScale: 4,
    latentChannels: 16,
    latentScale: { factor: 0.3611, mean: Array(16).fill(0.1159) },
    textEncoders: [
      { component: 'text_encoder', language: 'clip', pooled: 'pooler_output', maxTokens: 77 },
      { component: 'text_encoder_2', language: 't5', output: 'last_hidden_state', maxTokens: 512 },
    ],
  });
  t.match(read(folders['flux-schnell']!), {
    kind: 'flux-schnell',
    family: { rules: { guidance: 'true_only' } },
    defaults: { steps: 4, guidance: 0, strength: 0.6 },
  });
  const decided = decisionsOf(openSource(folders['flux-dev']!), read(folders['flux-dev']!));
  t.equal(decided.find(({ what }) => what === 'T5')?.value, 'there');
  const { parts } = readModelFolder(folders['flux-dev']!, 'cuda');
  t.match(
    Object.fromEntries(parts.map(({ part, computes }) => [part, computes])),
    { text_encoder: 'fp16', text_encoder_2: 'fp32', transformer: 'fp16' },
    'the range of T5 counts wherever it stands',
  );
});

t.test('rows follow the true guidance', async (t) => {
  for (const guidance of ['distilled', 'true_only'] as const) {
    const rows = (trueGuidance?: number) => guidanceRows({ guidanceScale: 7, trueGuidance }, { guidance });
    t.strictSame([rows(), rows(1), rows(0)], Array(3).fill(['prompt']));
    t.strictSame(rows(1.5), ['negative_prompt', 'prompt']);
  }
});

t.test('tokens are squares of two by two, row by row, and come back', async (t) => {
  const shape = [2, 4, 6] as const;
  const latents = Float32Array.from({ length: 48 }, (_, i) => i);
  const tokens = packed(latents, shape);
  t.strictSame([...tokens.subarray(0, 8)], [0, 1, 6, 7, 24, 25, 30, 31], 'all channels of the first square');
  t.strictSame(unpacked(tokens, shape), latents);
  t.strictSame(unpacked(Float32Array.of(...tokens, 7, 7, 7, 7), shape), latents, 'of more tokens the first');
  t.strictSame(placesOf([1, 4, 4], 1), [1, 0, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1]);
});

t.test("the shift follows the count of tokens, as diffusers' calculate_shift", async (t) => {
  const close = (a: number, b: number) => t.ok(Math.abs(a - b) < 1e-9, `${a} and ${b}`);
  close(muOf(256, {}), 0.5);
  close(muOf(4096, {}), 1.15);
  close(muOf(1024, { base_shift: 0, max_shift: 1, base_image_seq_len: 0, max_image_seq_len: 2048 }), 0.5);
  const config = {
    use_dynamic_shifting: true,
    flow: { tokenSide: 16 },
    _class_name: 'FlowMatchEulerDiscreteScheduler',
  };
  const sigma = (side: number) =>
    createSchedule({ scheduler: 'flow_euler', steps: 2, strength: 1, pixels: { width: side, height: side } }, config)
      .scheduler.sigmas![1]!;
  close(sigma(256), Math.fround(Math.exp(0.5) / (Math.exp(0.5) + 1)));
  close(sigma(1024), Math.fround(Math.exp(1.15) / (Math.exp(1.15) + 1)));
  const anySize = createSchedule({ scheduler: 'flow_euler', steps: 10, strength: 0.58 }, config);
  t.equal(anySize.stepsRun, 6, 'how much runs needs no size');
  t.throws(() => createSchedule({ scheduler: 'flow_heun', steps: 2, strength: 1 }, config), {
    message: /^the scheduler flow_heun lays its own sigmas/,
  });
});

t.test('a strength that comes to no step is the round trip through the VAE', async (t) => {
  const model = await load(folders['flux-schnell']!);
  const request = { ...whole('flux-schnell'), strength: 0 };
  t.ok(distance(await picture(model, request), await picture(model, { ...request, seed: 9, prompt: 'ink' })) === 0);
  await releaseModel(model);
});

t.test('what a folder says wrongly is told with its file and key', async (t) => {
  const folder = writeFluxFolder(join(parent, 'wrong'), 'flux-dev');
  const tried: readonly (readonly [file: string, change: object, reason: RegExp])[] = [
    [
      'transformer/config.json',
      { axes_dims_rope: [4, 6, 8] },
      /^transformer\/config\.json has axes_dims_rope \[4,6,8\]/,
    ],
    ['transformer/config.json', { axes_dims_rope: [3, 7, 6] }, /not three even widths that are 16 together/],
    ['transformer/config.json', { patch_size: 2 }, /patch_size 2, which is not supported \(supported: 1\)/],
    [
      'transformer/config.json',
      { num_layers: 1 },
      /^transformer: it has .* weights that its architecture does not use/,
    ],
    ['transformer/config.json', { guidance_embeds: false }, /^transformer: it has 4 weights .*guidance_embedder/],
    ['transformer/config.json', { guidance_embeds: 1 }, /guidance_embeds 1, which is not true or false/],
    ['transformer/config.json', { in_channels: 384, out_channels: 64 }, /^transformer: its weights x_embedder\.weight/],
    ['text_encoder_2/config.json', { d_model: 97 }, /^text_encoder_2: its weights shared\.weight are/],
    [
      'scheduler/scheduler_config.json',
      { base_image_seq_len: 4096 },
      /base_image_seq_len is 4096; it must be below max/,
    ],
    ['scheduler/scheduler_config.json', { base_shift: 21 }, /^scheduler\/scheduler_config\.json: .*base_shift/],
    [
      'scheduler/scheduler_config.json',
      { time_shift_type: 'linear', base_shift: -1 },
      /^its .* dynamic shift would be -/,
    ],
    [
      'img2img.json',
      { clip_skip: 1 },
      /^img2img\.json asks for clip_skip 1, and Flux takes no hidden state of its CLIP$/,
    ],
  ];
  for (const [file, change, reason] of tried) {
    const own = golden.families['flux-dev'].files[file] ?? {};
    json(folder, file, { ...own, ...change });
    t.throws(() => read(folder), { message: reason }, `${file} ${JSON.stringify(change)}`);
    json(folder, file, own);
  }
  t.equal(read(folder).kind, 'flux', readFileSync(join(folder, 'model_index.json'), 'utf8').slice(0, 40));
});
