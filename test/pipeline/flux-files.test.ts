// Flux.1 as single files: whole ones, and transformers alone that a folder lends the rest to.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { decisionsOf } from '../../src/pipeline/folder/decisions.js';
import { openSource, readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { inspectModel } from '../../src/pipeline/inspect-model.js';
import { loadModel, type Model, releaseModel } from '../../src/pipeline/model.js';
import { generate, maskedRequestOf } from './cases.js';
import { casesOf, type FluxFamily, golden, writeFluxFolder } from './flux.js';
import { writeLoneTransformer, writeWholeFile } from './flux-files.js';
import { json, golden as sd3 } from './stable-diffusion-3.js';

const parent = t.testdir();
const load = (path: string) => loadModel(path, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });
const settings = (path: string, value: object) =>
  writeFileSync(path.replace(/safetensors$/, 'img2img.json'), JSON.stringify(value));

async function pictures(model: Model, family: FluxFamily): Promise<Buffer[]> {
  const made: Buffer[] = [];
  for (const c of casesOf(family).slice(4, 6)) {
    made.push(Buffer.from((await generate(model, [maskedRequestOf(c)]))[0]!.pixels.data));
  }
  return made;
}

async function sameBytes(t: Test, path: string, folder: string, family: FluxFamily): Promise<void> {
  const [file, whole] = [await load(path), await load(folder)];
  const { kind, size, latentScale, defaults, latentChannels, schedulerConfig } = whole.folder;
  t.match(file.folder, { kind, size, latentScale, defaults, latentChannels, exporter: 'img2img' });
  for (const key of ['shift', 'use_dynamic_shifting', 'base_shift', 'max_shift'] as const) {
    t.equal(file.folder.schedulerConfig[key] ?? false, schedulerConfig[key] ?? false, key);
  }
  const [own, expected] = [await pictures(file, family), await pictures(whole, family)];
  t.equal(own.length, 2);
  for (const [i, picture] of own.entries()) t.ok(picture.equals(expected[i]!), 'the same bytes');
  await releaseModel(file);
  await releaseModel(whole);
}

t.test('a whole file gives the bytes of its folder; its T5 borrows a tokenizer', async (t) => {
  json(join(parent, 'words'), 'tokenizer_2/tokenizer.json', sd3.tokenizer);
  for (const type of ['float32', 'bfloat16'] as const) {
    const folder = writeFluxFolder(join(parent, `whole-${type}`), 'flux-dev', type);
    // What shapes cannot tell is that of the published models, whatever the small ones have.
    const { 'text_encoder/config.json': clip, 'vae/config.json': vae } = golden.families['flux-dev'].files;
    json(folder, 'text_encoder/config.json', { ...clip, num_attention_heads: 1 });
    json(folder, 'vae/config.json', { ...vae, norm_num_groups: 32 });
    const path = writeWholeFile(join(parent, `dev-${type}.safetensors`), 'flux-dev', type);
    settings(path, { text_encoders: 'words' });
    await sameBytes(t, path, folder, 'flux-dev');
  }
});

t.test('a transformer alone does so with the text encoders and the VAE of a folder', async (t) => {
  for (const [family, name] of [
    ['flux-dev', 'flux1-dev'],
    ['flux-schnell', 'flux1-schnell'],
    ['flux-kontext', 'flux1-kontext-dev'],
  ] as const) {
    writeFluxFolder(join(parent, `lends-${family}`), family);
    const path = writeLoneTransformer(join(parent, `${name}.safetensors`), family);
    settings(path, { text_encoders: `lends-${family}` });
    await sameBytes(t, path, join(parent, `lends-${family}`), family);
  }
  const source = openSource(join(parent, 'flux1-kontext-dev.safetensors'));
  const decisions = new Map(
    decisionsOf(source, readModelFolder(join(parent, 'flux1-kontext-dev.safetensors'), 'cpu', source)).map(
      ({ what, ...rest }) => [what, rest],
    ),
  );
  t.match(decisions.get('kind'), { value: 'flux-kontext', from: "the file's name" });
  t.match(decisions.get('text encoders of'), { value: 'lends-flux-kontext' });
});

t.test('what a file lacks or is not is told', async (t) => {
  const models = join(parent, 'lacking');
  mkdirSync(models);
  writeFluxFolder(join(models, 'lender'), 'flux-dev');
  const wide = (channels: number) => ({
    'img_in.weight': { dtype: 'F32', shape: [32, channels], data: new Uint8Array(4 * 32 * channels) },
  });
  const path = join(models, 'dream.safetensors');
  const read = () => inspectModel(path, 'cpu');
  writeLoneTransformer(path, 'flux-dev');
  t.throws(read, {
    message: /^it holds no (text_encoder|VAE); name a folder beside it .*\{"text_encoders": "FOLDER"\}$/,
  });
  settings(path, { text_encoders: 'lender' });
  t.equal(read().folder.kind, 'flux');
  settings(path, { text_encoders: 'lender', defaults: { steps: 12, guidance: 3.5 }, scheduler: { max_shift: 1.3 } });
  t.match(read().folder, {
    defaults: { steps: 12, guidance: 3.5 },
    schedulerConfig: { max_shift: 1.3, base_shift: 0.5 },
  });
  settings(path, { text_encoders: 'lender' });
  const F8 = { dtype: 'F8_E4M3', shape: [32, 64], data: new Uint8Array(32 * 64) };
  for (const [change, reason] of [
    [wide(384), /as Flux Fill does/],
    [wide(128), /as Flux Canny or Depth does/],
    [{ 'img_in.weight': F8 }, /^its transformer is in fp8 \(F8_E4M3\), which is not supported/],
    [
      { 'double_blocks.0.img_attn.qkv.weight': { ...F8, dtype: 'F32', shape: [4], data: new Uint8Array(16) } },
      /is not of 3 layers/,
    ],
  ] as const) {
    writeLoneTransformer(path, 'flux-dev', 'float32', change);
    t.throws(read, { message: reason });
  }
});
