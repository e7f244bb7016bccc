// Stable Diffusion 3 and 3.5 against diffusers, and what makes them another family.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decisionsOf } from '../../src/pipeline/folder/decisions.js';
import { openSource, readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { bucketOf } from '../../src/pipeline/graphs/t5-encoder.js';
import { prepare } from '../../src/pipeline/img2img.js';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { createSchedule } from '../../src/pipeline/schedulers/index.js';
import { closeShare, differencesFrom, distance, maskedRequestOf, requestOf } from './cases.js';
import { makesDiffusersPictures, picture } from './diffusers-pictures.js';
import { casesOf, golden, json, type Sd3Family, sd3Families, writeSd3Folder } from './stable-diffusion-3.js';

const parent = t.testdir();
const folders = Object.fromEntries(sd3Families.map((family) => [family, join(parent, family)]));
for (const family of sd3Families) writeSd3Folder(folders[family]!, family);
const load = (folder: string) => loadModel(folder, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });

for (const family of sd3Families) {
  t.test(`${family} makes diffusers' pictures, alone and beside others byte for byte the same`, async (t) => {
    const model = await load(folders[family]!);
    await makesDiffusersPictures(t, model, casesOf(family));
    await releaseModel(model);
  });
}

t.test('all that a request says moves the picture by more than 5 of 255, and so does the T5', async (t) => {
  for (const family of ['sd3', 'sd35-medium'] as const) {
    const model = await load(folders[family]!);
    const request = { ...maskedRequestOf(casesOf(family)[4]!), mask: undefined };
    const before = await picture(model, request);
    const changes = {
      'another prompt': { prompt: 'soft studio light' },
      'another negative prompt': { negativePrompt: 'soft wood' },
      'more guidance': { guidanceScale: request.guidanceScale + 1 },
      'another seed': { seed: request.seed + 1 },
    };
    for (const [what, change] of Object.entries(changes)) {
      const moved = distance(before, await picture(model, { ...request, ...change }));
      t.ok(moved > 5, `${family}, ${what}: ${moved}`);
    }
    await releaseModel(model);
  }
  const [own, without] = [casesOf('sd3')[0]!, casesOf('sd3-without-t5')[0]!].map((c) =>
    Buffer.from(c.pixels, 'base64'),
  );
  t.ok(distance(own!, without!) > 5, 'of the same transformer');
});

t.test('a prompt goes on for the T5 where CLIP has no room, and what was cut is told', async (t) => {
  const cut = async (family: Sd3Family, times: number) => {
    const model = await load(folders[family]!);
    const request = { ...maskedRequestOf(casesOf(family)[0]!), prompt: 'a red glass of ink, '.repeat(times) };
    const [generation] = await prepare(model, [request]);
    await releaseModel(model);
    return { dropped: generation!.droppedTokens.prompt > 0, beyondClip: generation!.beyondClip.prompt > 0 };
  };
  t.strictSame(await cut('sd3', 1), { dropped: false, beyondClip: false });
  t.strictSame(await cut('sd3', 15), { dropped: false, beyondClip: true });
  t.strictSame(await cut('sd3', 60), { dropped: true, beyondClip: true });
  t.strictSame(await cut('sd3-without-t5', 15), { dropped: true, beyondClip: false });
});

t.test("optimum's export of the transformer makes the same pictures beside parts from safetensors", async (t) => {
  const folder = writeSd3Folder(join(parent, 'exported'), 'sd3');
  writeFileSync(join(folder, 'transformer', 'model.onnx'), Buffer.from(golden.transformer, 'base64'));
  const model = await load(folder);
  t.match(model.folder, { exporter: 'optimum-onnx', size: { native: 64, multiple: 8, max: 96 }, contextWidth: 96 });
  for (const c of casesOf('sd3').slice(0, 4)) {
    const request = maskedRequestOf(c);
    t.ok(closeShare(differencesFrom(c.pixels, await picture(model, request), request)) >= 0.999, c.prompt);
  }
  await releaseModel(model);
});

t.test('brain floats as weights make nearly the same picture', async (t) => {
  const model = await load(writeSd3Folder(join(parent, 'bfloat16'), 'sd3', 'bfloat16'));
  const [c] = casesOf('sd3');
  const moved = distance(await picture(model, maskedRequestOf(c!)), Buffer.from(c!.pixels, 'base64'));
  t.ok(moved < 3, `${moved}`);
  await releaseModel(model);
});

t.test('a folder tells what it is', async (t) => {
  const folder = folders.sd3!;
  const read = readModelFolder(folder, 'cpu');
  t.match(read, {
    kind: 'sd3',
    exporter: 'img2img',
    defaults: { steps: 28, guidance: 7, strength: 0.6, scheduler: 'flow_euler' },
    size: { native: 64, multiple: 8, min: 64, max: 96 },
    vaeScale: 4,
    latentChannels: 16,
    latentScale: { factor: 1.5305, mean: Array(16).fill(0.0609) },
    textEncoders: [
      { component: 'text_encoder', language: 'clip', output: 'hidden_states.2', pooled: 'text_embeds', maxTokens: 77 },
      { component: 'text_encoder_2', language: 'clip', output: 'hidden_states.2', pooled: 'text_embeds' },
      { component: 'text_encoder_3', language: 't5', output: 'last_hidden_state', maxTokens: 256 },
    ],
  });
  const t5 = (path: string) => {
    const source = openSource(path);
    return decisionsOf(source, readModelFolder(path, 'cpu', source)).find(({ what }) => what === 'T5')?.value;
  };
  t.equal(t5(folder), 'there');
  t.equal(t5(folders['sd3-without-t5']!), 'absent, zeros');
  const turbo = writeSd3Folder(join(parent, 'sd3.5-large-turbo'), 'sd3-without-t5');
  t.match(readModelFolder(turbo, 'cpu'), { kind: 'sd3-turbo', defaults: { steps: 4, guidance: 1, strength: 0.6 } });
});

t.test('T5 computes in float32 wherever nothing names it', async (t) => {
  const folder = writeSd3Folder(join(parent, 'precision'), 'sd3');
  const computes = (settings: object, provider: 'cpu' | 'cuda') => {
    json(folder, 'img2img.json', settings);
    const { parts } = readModelFolder(folder, provider);
    return Object.fromEntries(parts.map(({ part, computes }) => [part, computes]));
  };
  t.match(computes({}, 'cpu'), { text_encoder_3: 'fp32', transformer: 'fp32' });
  t.match(computes({}, 'cuda'), { text_encoder_3: 'fp32', transformer: 'fp16', text_encoder: 'fp16' });
  t.match(computes({ precision: 'fp16' }, 'cuda'), { text_encoder_3: 'fp32', transformer: 'fp16' });
  t.match(computes({ precision: { text_encoder_3: 'fp16' } }, 'cuda'), { text_encoder_3: 'fp16' });
});

t.test('a strength runs what diffusers runs of a flow, and a noise scheduler is refused with what fits', async (t) => {
  const { schedulerConfig } = readModelFolder(folders.sd3!, 'cpu');
  const of = (steps: number, strength: number) =>
    createSchedule({ scheduler: 'flow_euler', steps, strength }, schedulerConfig).stepsRun;
  t.strictSame(
    [of(10, 0.58), of(10, 0.05), of(10, 0), of(28, 0.6), of(10, 1)],
    [6, 1, 0, 17, 10],
    'int(max(N - min(N * s, N), 0)) are left out',
  );
  t.throws(() => createSchedule({ scheduler: 'euler', steps: 10, strength: 1 }, schedulerConfig), {
    message: /^a flow matching model does not run with euler but with: flow_euler, .*flow_heun$/,
  });
});

t.test('a strength that comes to no step is the round trip through the VAE', async (t) => {
  const model = await load(folders['sd3-without-t5']!);
  const request = { ...requestOf(casesOf('sd3')[0]!), strength: 0 };
  t.ok(distance(await picture(model, request), await picture(model, { ...request, seed: 9, prompt: 'ink' })) === 0);
  await releaseModel(model);
});

t.test('what a folder says wrongly is told with its file and key', async (t) => {
  const config = (part: string) =>
    JSON.parse(readFileSync(join(folders.sd3!, part, 'config.json'), 'utf8')) as Record<string, unknown>;
  const wrong = writeSd3Folder(join(parent, 'wrong'), 'sd3');
  for (const [part, change, reason] of [
    [
      'transformer',
      { qk_norm: 'layer_norm' },
      /^transformer\/config\.json has qk_norm "layer_norm", which is not supp/,
    ],
    ['transformer', { patch_size: 3 }, /^transformer\/config\.json has patch_size 3, which is not a power of 2/],
    [
      'transformer',
      { dual_attention_layers: [5] },
      /dual_attention_layers \[5\], which is not a list of layers from 0/,
    ],
    ['transformer', { caption_projection_dim: 48 }, /caption_projection_dim 48, which is not the width of a token/],
    ['transformer', { num_layers: 1 }, /^transformer: its weights .* the architecture wants/],
    ['transformer', { num_layers: 3 }, /^transformer: its weights .* are \[64\], and the architecture wants \[192\]$/],
    ['transformer', { pos_embed_max_size: 13 }, /are \[1,144,32\], and the architecture wants \[1,169,32\]$/],
    ['text_encoder_3', { feed_forward_proj: 'relu' }, /^text_encoder_3\/config\.json has feed_forward_proj "relu"/],
    ['text_encoder_3', { relative_attention_num_buckets: 6 }, /relative_attention_num_buckets 6, which is not a mult/],
    ['text_encoder_3', { d_model: 97 }, /^text_encoder_3: its weights shared\.weight are/],
  ] as const) {
    json(wrong, `${part}/config.json`, { ...config(part), ...change });
    t.throws(() => readModelFolder(wrong, 'cpu'), { message: reason }, JSON.stringify(change));
    json(wrong, `${part}/config.json`, config(part));
  }
  const folder = writeSd3Folder(join(parent, 'sizes'), 'sd3');
  json(folder, 'img2img.json', { size: { max: 128 } });
  t.throws(() => readModelFolder(folder, 'cpu'), {
    message: /^its sizes go up to 128, and the positions that the transformer knows \(pos_embed_max_size 12\) to 96$/,
  });
  json(folder, 'img2img.json', {});
  json(folder, 'scheduler/scheduler_config.json', {
    _class_name: 'FlowMatchEulerDiscreteScheduler',
    use_dynamic_shifting: true,
  });
  t.throws(() => readModelFolder(folder, 'cpu'), { message: /use_dynamic_shifting wants a mu/ });
});

t.test("distances fall into torch's buckets", async (t) => {
  for (const { buckets, distance: far, of } of golden.buckets) {
    const own = of.map((_, i) => bucketOf(i - 511, buckets, far));
    t.strictSame(own, of, `${buckets} to ${far}`);
  }
});
