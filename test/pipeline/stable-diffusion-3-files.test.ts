// Stable Diffusion 3 and 3.5 as single files, with text encoders of their own and with those of a folder beside them.

import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decisionsOf } from '../../src/pipeline/folder/decisions.js';
import { bytesOnDisk, digestFolder, stampFolder } from '../../src/pipeline/folder/folder-digest.js';
import { openSource, readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { inspectModel } from '../../src/pipeline/inspect-model.js';
import { loadModel, type Model, releaseModel } from '../../src/pipeline/model.js';
import { generate, requestOf } from './cases.js';
import { json } from './stable-diffusion-3.js';
import {
  encoders,
  golden,
  type Sd3File,
  sd3Files,
  writeSd3,
  writeSd3File,
  writeSd3Parts,
  writeTokenizer,
} from './stable-diffusion-3-files.js';

const parent = t.testdir();
const load = (path: string) => loadModel(path, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });
const settings = (path: string, value: object) =>
  writeFileSync(path.replace(/safetensors$/, 'img2img.json'), JSON.stringify(value));
const clips = ['text_encoder', 'text_encoder_2'];

/** What the file holds, and what is borrowed. */
const whole: Record<Sd3File, { own: readonly string[]; lent: readonly string[] }> = {
  sd3: { own: encoders, lent: [] },
  'sd35-large': { own: [], lent: encoders },
  'sd35-medium': { own: clips, lent: [] },
};

async function pictures(model: Model, family: Sd3File): Promise<Buffer[]> {
  const made: Buffer[] = [];
  for (const c of golden.cases.filter((one) => one.family === family)) {
    const [picture] = await generate(model, [requestOf(c)]);
    made.push(Buffer.from(picture!.pixels.data));
  }
  return made;
}

for (const family of sd3Files) {
  const { own, lent } = whole[family];
  t.test(`${family}: a single file gives its folder's bytes, which are diffusers' picture`, async (t) => {
    for (const type of ['float32', 'float16'] as const) {
      const folder = await load(writeSd3(join(parent, `${family}-${type}`), family, [...own, ...lent], type));
      const path = writeSd3File(join(parent, `${family}-${type}-file.safetensors`), family, own, type);
      const lender = `lender-${family}-${type}`;
      writeSd3Parts(join(parent, lender), family, lent, type);
      if (own.includes('text_encoder_3')) writeTokenizer(join(parent, lender), 'tokenizer_3');
      if (own !== clips) settings(path, { text_encoders: lender });
      const file = await load(path);
      const { kind, schedulerConfig, size, latentScale, defaults } = folder.folder;
      t.match(file.folder, { kind, size, latentScale, defaults, exporter: 'img2img' });
      t.equal(file.folder.schedulerConfig.shift, schedulerConfig.shift);
      const [ofFile, ofFolder] = [await pictures(file, family), await pictures(folder, family)];
      t.equal(ofFile.length, 2);
      for (const [i, picture] of ofFile.entries()) {
        t.ok(picture.equals(ofFolder[i]!), `${type}: the same bytes`);
        if (type === 'float16') continue;
        const expected = Buffer.from(golden.cases.filter((one) => one.family === family)[i]!.pixels, 'base64');
        const close = [...expected].filter((sample, at) => Math.abs(sample - picture[at]!) <= 1);
        t.ok(close.length >= 0.999 * expected.length, `diffusers' picture: ${close.length} of ${expected.length}`);
      }
      await releaseModel(folder);
      await releaseModel(file);
    }
  });
}

t.test('a file tells by its shapes and keys what it is, and its settings what it cannot tell', async (t) => {
  const path = writeSd3File(join(parent, 'sd3.5_large_turbo.safetensors'), 'sd35-large', clips);
  const read = () => readModelFolder(path, 'cpu');
  t.match(read(), {
    kind: 'sd3-turbo',
    defaults: { steps: 4, guidance: 1, strength: 0.6, scheduler: 'flow_euler' },
    size: { native: 96, multiple: 8, max: 96 },
    schedulerConfig: { shift: 3 },
    latentScale: { factor: 1.5305, mean: Array(16).fill(0.0609) },
    textEncodersOf: undefined,
  });
  const source = openSource(path);
  const decisions = new Map(decisionsOf(source, read()).map(({ what, ...rest }) => [what, rest]));
  t.match(decisions.get('kind'), { value: 'sd3-turbo', from: 'the keys model.diffusion_model.joint_blocks.…' });
  t.match(decisions.get('native size'), { from: 'the positions that its transformer knows' });
  t.match(decisions.get('T5'), { value: 'absent, zeros' });
  settings(path, { turbo: false, scheduler: { shift: 2 }, vae: { shift_factor: 0.1 } });
  t.match(read(), { kind: 'sd3', schedulerConfig: { shift: 2 }, latentScale: { mean: Array(16).fill(0.1) } });
  for (const [value, reason] of [
    [{ prediction_type: 'epsilon' }, /^sd3\.5_large_turbo\.img2img\.json has prediction_type, which flow matching/],
    [{ zero_snr: false }, /has zero_snr, which flow matching models do not have$/],
    [{ precision: { unet: 'fp16' } }, /has precision\.unet, and the model has no unet$/],
  ] as const) {
    settings(path, value);
    t.throws(read, { message: reason });
  }
});

t.test('a file without text encoders says what to write, and what is wrong with what was written', async (t) => {
  const models = join(parent, 'lending');
  mkdirSync(models);
  const path = writeSd3File(join(models, 'dream.safetensors'), 'sd35-medium', []);
  const read = () => inspectModel(path, 'cpu').folder;
  t.throws(read, {
    message:
      /^it holds no text_encoder; name a folder beside it that has them in dream\.img2img\.json: \{"text_encoders": "FOLDER"\}$/,
  });
  const lender = writeSd3(join(models, 'sd35'), 'sd35-medium');
  mkdirSync(join(models, 'empty'));
  writeSd3Parts(join(models, 'one'), 'sd35-medium', ['text_encoder'], 'float32');
  writeSd3File(join(models, 'other.safetensors'), 'sd35-medium', clips);
  for (const [name, reason] of [
    ['../lending/sd35', /text_encoders "\.\.\/lending\/sd35", which is no name; it names a folder beside the file/],
    [models, /which is no name/],
    ['.sd35', /which is no name/],
    ['gone', /^dream\.img2img\.json has text_encoders "gone", and beside the file there is no such folder$/],
    ['other', /and beside the file there is no such folder$/],
    ['other.safetensors', /and beside the file there is no such folder$/],
    ['empty', /and that folder has neither text encoders nor tokenizers$/],
    ['one', /^it holds no text_encoder_2; name a folder beside it/],
    [7, /^dream\.img2img\.json: text_encoders is 7; it must be a string$/],
  ] as const) {
    settings(path, { text_encoders: name });
    t.throws(read, { message: reason }, String(name));
  }
  settings(path, { text_encoders: 'sd35' });
  const folder = read();
  t.equal(folder.textEncodersOf, 'sd35');
  t.match(
    folder.parts.filter(({ part }) => part.startsWith('text')).map(({ file }) => file),
    encoders.map((part) => `sd35/${part}/model.safetensors`),
  );
  const told = decisionsOf(openSource(path), folder);
  t.match(
    told.find(({ what }) => what === 'text encoders of'),
    { value: 'sd35' },
  );
  t.match(
    told.find(({ what }) => what === 'tokenizer 3'),
    { value: 'that of sd35' },
  );

  json(lender, 'text_encoder_3/config.json', { model_type: 't5', d_model: 97 });
  t.throws(read, { message: /^sd35, whose text encoders it borrows: text_encoder_3\/config\.json has feed_forward/ });
  const tensors = golden.families['sd35-medium'].tensors as Record<string, unknown>;
  t.ok(tensors.text_encoder_3);
  const own = writeSd3File(join(models, 'own.safetensors'), 'sd35-medium', clips);
  settings(own, { text_encoders: 'one' });
  t.throws(() => readModelFolder(own, 'cpu'), {
    message: /^own\.img2img\.json has text_encoders "one", which has none that the file lacks$/,
  });
});

t.test('encoders of another model are told by their widths', async (t) => {
  const path = writeSd3File(join(parent, 'wide.safetensors'), 'sd3', []);
  const lender = writeSd3(join(parent, 'narrow'), 'sd3');
  settings(path, { text_encoders: 'narrow' });
  t.equal(readModelFolder(path, 'cpu').textEncoders.length, 3);
  rmSync(join(lender, 'text_encoder_2'), { recursive: true });
  cpSync(join(lender, 'text_encoder'), join(lender, 'text_encoder_2'), { recursive: true });
  t.throws(() => readModelFolder(path, 'cpu'), {
    message:
      /^the pooled embeddings of text_encoder and text_encoder_2 are 64 numbers wide, and the transformer takes 72: they are another model's$/,
  });
});

t.test(
  'what is lent is part of what a file is: it changes its digest and stamp, and takes no room on the disk',
  async (t) => {
    const path = writeSd3File(join(parent, 'borrows.safetensors'), 'sd35-medium', []);
    const lender = writeSd3(join(parent, 'lends'), 'sd35-medium');
    settings(path, { text_encoders: 'lends' });
    const of = async () => ({ stamp: stampFolder(path), digest: await digestFolder(path) });
    const [before, bytes] = [await of(), bytesOnDisk(path)];
    t.ok(readModelFolder(path, 'cpu').files.some((file) => file.startsWith(join(lender, 'text_encoder_3'))));
    writeFileSync(join(lender, 'tokenizer_3', 'special_tokens_map.json'), '{}');
    const after = await of();
    t.not(after.stamp, before.stamp);
    t.not(after.digest, before.digest);
    json(lender, 'transformer/config.json', {});
    t.strictSame(await of(), after, 'what it does not lend');
    t.equal(bytesOnDisk(path), bytes);
    renameSync(lender, join(parent, 'left'));
    t.not(stampFolder(path), after.stamp);
  },
);

t.test('a T5 in the file needs the tokenizer of a folder, and fp8 is refused by name', async (t) => {
  const path = writeSd3File(join(parent, 'with-t5.safetensors'), 'sd3');
  t.throws(() => readModelFolder(path, 'cpu'), {
    message:
      /^it has a T5 and no tokenizer for it, which lies in tokenizer_3; name a folder beside it .*with-t5\.img2img/,
  });
  const name = 'text_encoders.t5xxl.transformer.shared.weight';
  const [, shape] = golden.families.sd3.original.find(([each]) => each === name)!;
  const small = { dtype: 'F8_E4M3', shape, data: new Uint8Array(shape.reduce((a, b) => a * b, 1)) };
  writeSd3File(path, 'sd3', encoders, 'float16', { [name]: small });
  t.throws(() => readModelFolder(path, 'cpu'), {
    message: /^its text_encoder_3 is in fp8 \(F8_E4M3\), which is not supported; take the version in fp16/,
  });
  const transformer = writeSd3File(join(parent, 'alone.safetensors'), 'sd3', [], 'float16', {
    'first_stage_model.decoder.conv_in.weight': undefined,
  });
  t.throws(() => readModelFolder(transformer, 'cpu'), { message: /its weights decoder\.conv_in\.weight are missing/ });
});
