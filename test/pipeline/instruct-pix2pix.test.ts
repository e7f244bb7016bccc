// InstructPix2Pix: what makes it another family. Its pictures against diffusers' are in families.long.test.ts and checkpoints.long.test.ts.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { guidanceRows } from '../../src/guidance.js';
import type { Img2ImgRequest } from '../../src/img2img-request.js';
import { decisionsOf } from '../../src/pipeline/folder/decisions.js';
import { openSource, readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { prepare, rowsOf } from '../../src/pipeline/img2img.js';
import { loadModel, type Model, releaseModel } from '../../src/pipeline/model.js';
import { type Case, generate, reference, requestOf } from './cases.js';
import { writeCheckpointFolder, writeSingleFile } from './checkpoints.js';
import { writeFolder } from './folders.js';

const parent = t.testdir();
const load = (folder: string) => loadModel(folder, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });
const { cases } = JSON.parse(readFileSync(reference('families.json'), 'utf8')) as {
  cases: (Case & { family: string })[];
};
const own = cases.filter(({ family }) => family === 'instruct-pix2pix');
const guided = requestOf(own[0]!);
const rules = { guidance: 'prompts_and_starter' } as const;

async function picture(model: Model, request: Img2ImgRequest): Promise<Uint8Array> {
  return (await generate(model, [request]))[0]!.pixels.data;
}

/** Of a sample, on average, of 255. */
const distance = (a: Uint8Array, b: Uint8Array) =>
  a.reduce((sum, sample, i) => sum + Math.abs(sample - b[i]!), 0) / a.length;

t.test('a request has three rows where guidance is above 1 and image guidance at least 1, else one', async (t) => {
  const three = ['prompt', 'starter', 'nothing'];
  for (const [guidanceScale, imageGuidance, rows] of [
    [7.5, 1.5, three],
    [1.01, 1, three],
    [7.5, 0.99, ['prompt']],
    [1, 1.5, ['prompt']],
    [0, 0, ['prompt']],
  ] as const) {
    t.strictSame(guidanceRows({ guidanceScale, imageGuidance }, rules), rows, `${guidanceScale}, ${imageGuidance}`);
  }
});

t.test('it is told by its channels, whatever the class says', async (t) => {
  const folder = writeFolder(parent, 'instruct-pix2pix', {}, 'classes');
  const index = JSON.parse(readFileSync(join(folder, 'model_index.json'), 'utf8'));
  for (const name of ['InstructPix2PixPipeline', 'Pipeline', 'Img2ImgPipeline', 'InpaintPipeline']) {
    for (const prefix of ['', 'ORT']) {
      const className = `${prefix}StableDiffusion${name}`;
      writeFileSync(join(folder, 'model_index.json'), JSON.stringify({ ...index, _class_name: className }));
      t.match(readModelFolder(folder, 'cpu'), {
        kind: 'instruct-pix2pix',
        inpaints: false,
        family: { rules: { schedule: 'whole', masks: false } },
        defaults: { steps: 25, guidance: 7.5, imageGuidance: 1.5, scheduler: 'euler_a', strength: undefined },
      });
    }
  }
  const source = openSource(folder);
  const decisions = decisionsOf(source, readModelFolder(folder, 'cpu', source));
  t.match(
    decisions.filter(({ what }) => what === 'kind' || what === 'image guidance'),
    [
      { value: 'instruct-pix2pix', from: "the UNet's input channels" },
      { value: 1.5, from: 'the default of instruct-pix2pix' },
    ],
  );
  const plain = writeFolder(parent, 'sd', {}, 'plain');
  const plainIndex = JSON.parse(readFileSync(join(plain, 'model_index.json'), 'utf8'));
  const className = 'StableDiffusionInstructPix2PixPipeline';
  writeFileSync(join(plain, 'model_index.json'), JSON.stringify({ ...plainIndex, _class_name: className }));
  t.match(readModelFolder(plain, 'cpu'), { kind: 'sd', defaults: { strength: 0.75, imageGuidance: undefined } });
});

t.test('img2img.json may set its image guidance, and what it has no use for is refused', async (t) => {
  const folder = writeFolder(parent, 'instruct-pix2pix', {}, 'settings');
  const other = writeFolder(parent, 'sd', {}, 'other-settings');
  const settings = (path: string, value: object) => writeFileSync(join(path, 'img2img.json'), JSON.stringify(value));
  settings(folder, { defaults: { image_guidance: 2, steps: 9 } });
  t.match(readModelFolder(folder, 'cpu').defaults, { imageGuidance: 2, steps: 9, guidance: 7.5 });
  for (const [path, value, reason] of [
    [
      folder,
      { guidance_rescale: 0.7 },
      /^img2img\.json has guidance_rescale, which instruct-pix2pix models do not have$/,
    ],
    [
      folder,
      { defaults: { image_guidance: 31 } },
      /^img2img\.json: defaults\.image_guidance is 31; it must be at most 30$/,
    ],
    [other, { defaults: { image_guidance: 2 } }, /^img2img\.json has defaults\.image_guidance, and sd models take no/],
  ] as const) {
    settings(path, value);
    t.throws(() => readModelFolder(path, 'cpu'), { message: reason });
  }
});

t.test(
  'a single file of the original layout is told by its channels, with the scheduler of the first model',
  async (t) => {
    const file = readModelFolder(writeSingleFile(join(parent, 'edit.safetensors'), 'instruct-pix2pix'), 'cpu');
    t.match(file, { kind: 'instruct-pix2pix', defaults: { scheduler: 'euler_a', imageGuidance: 1.5 } });
    t.match(file.schedulerConfig, { prediction_type: 'epsilon', steps_offset: 1, timestep_spacing: undefined });
  },
);

t.test(
  'all that a request says moves the picture by more than 5 of 255, and what has no effect by nothing',
  async (t) => {
    const model = await load(writeFolder(parent, 'instruct-pix2pix', {}, 'changes'));
    const before = await picture(model, guided);
    const { width, height, data } = guided.pixels;
    for (const change of [
      { negativePrompt: 'red red red' },
      { prompt: 'blue, blue ink' },
      { imageGuidance: 4 },
      { guidanceScale: 15 },
      { pixels: { width, height, data: data.map((sample) => 255 - sample) } },
      { seed: 99 },
    ]) {
      const moved = distance(await picture(model, { ...guided, ...change }), before);
      t.ok(moved > 5, `${Object.keys(change)}: ${moved.toFixed(1)}`);
    }
    t.strictSame(await picture(model, { ...guided, strength: 0.3 }), before, 'it has no strength');
    const unguided = { ...guided, imageGuidance: 0.5 };
    const alone = await picture(model, unguided);
    t.ok(distance(alone, before) > 5);
    for (const change of [{ negativePrompt: 'red red red' }, { guidanceScale: 3 }, { imageGuidance: 0 }]) {
      t.strictSame(await picture(model, { ...unguided, ...change }), alone, `unguided: ${Object.keys(change)}`);
    }
    await releaseModel(model);
  },
);

t.test('requests of one row and of three share calls, and give the bytes that they give alone', async (t) => {
  for (const path of [
    writeFolder(parent, 'instruct-pix2pix', { timestep: 'batch' }, 'together'),
    writeCheckpointFolder(join(parent, 'together-safetensors'), 'instruct-pix2pix'),
  ]) {
    const model = await load(path);
    const side = model.folder.size.min;
    const pixels = { width: side, height: side, data: new Uint8Array(3 * side ** 2).map((_, i) => (i * 37) % 256) };
    const requests: Img2ImgRequest[] = [
      { ...guided, pixels },
      { ...guided, pixels, guidanceScale: 1, steps: 5, seed: 1, scheduler: 'euler' },
      { ...guided, pixels, imageGuidance: 0.5, steps: 3, seed: 2, prompt: 'ink', scheduler: 'ddim' },
      { ...guided, pixels, imageGuidance: 3, steps: 7, seed: 3, negativePrompt: '', scheduler: 'dpmpp_2m' },
    ];
    t.strictSame((await prepare(model, requests)).map(rowsOf), [3, 1, 1, 3]);
    const alone: Uint8Array[] = [];
    for (const request of requests) alone.push(await picture(model, request));
    const together = await generate(model, requests);
    for (const [i, made] of together.entries()) t.ok(Buffer.from(made.pixels.data).equals(alone[i]!), `request ${i}`);
    await releaseModel(model);
  }
});
