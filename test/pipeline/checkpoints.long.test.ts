// Checkpoints as they are downloaded, against diffusers' pictures of the same weights.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadModel, type Model, releaseModel } from '../../src/pipeline/model.js';
import { generate } from './cases.js';
import {
  type CheckpointCase,
  checkpointCases,
  differences,
  familyNames,
  maskedRequest,
  singleFileFamilies,
  writeCheckpointFolder,
  writeSingleFile,
} from './checkpoints.js';

const parent = t.testdir();
const load = (path: string) => loadModel(path, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });

/** Share of the samples that differ from diffusers' by more than one. */
function beyondOne(data: Uint8Array, c: CheckpointCase): number {
  const all = differences(data, c);
  return all.filter((difference) => difference > 1).length / all.length;
}

const same = (a: Uint8Array, b: Uint8Array) => Buffer.from(a).equals(b);

async function picture(model: Model, c: CheckpointCase): Promise<Uint8Array> {
  const [made] = await generate(model, [maskedRequest(c)]);
  return made!.pixels.data;
}

type Dtype = CheckpointCase['dtype'];

// Each folder is loaded once, and makes the picture of each case once.
const models = new Map<string, Promise<Model>>();
function ofFolder(family: CheckpointCase['family'], type: Dtype = 'float32'): Promise<Model> {
  const name = `${family}-${type}`;
  const model = models.get(name) ?? load(writeCheckpointFolder(join(parent, name), family, type));
  models.set(name, model);
  return model;
}
t.teardown(async () => {
  for (const model of models.values()) await releaseModel(await model);
});

const pictures = new Map<CheckpointCase, Promise<Uint8Array>>();
function folderPicture(c: CheckpointCase): Promise<Uint8Array> {
  const made = pictures.get(c) ?? ofFolder(c.family, c.dtype).then((model) => picture(model, c));
  pictures.set(c, made);
  return made;
}

for (const family of familyNames) {
  t.test(`${family}: a diffusers folder of safetensors gives diffusers' pictures, whatever its dtype`, async (t) => {
    for (const type of ['float32', 'float16', 'bfloat16'] as const) {
      for (const c of checkpointCases.filter((one) => one.family === family && one.dtype === type)) {
        const share = beyondOne(await folderPicture(c), c);
        const told = `${type}, ${c.scheduler}, ${c.steps} steps at ${c.strength}, guidance ${c.guidance}, ${c.width} x ${c.height}`;
        t.ok(share <= 0.001, `${told}: ${(100 * share).toFixed(2)} % differ by more than 1`);
      }
    }
  });
}

for (const family of singleFileFamilies) {
  t.test(`${family}: a single file gives the bytes that its weights give as a diffusers folder`, async (t) => {
    for (const type of ['float32', 'float16'] as const) {
      const folder = await ofFolder(family, type);
      // The folders spell out a spacing that the families' first models leave to each scheduler.
      const settings = { scheduler: { timestep_spacing: 'leading' } };
      writeFileSync(join(parent, `${family}-${type}-file.img2img.json`), JSON.stringify(settings));
      const file = await load(writeSingleFile(join(parent, `${family}-${type}-file.safetensors`), family, type));
      const { kind, schedulerConfig, size, latentScale, textEncoders } = folder.folder;
      t.match(file.folder, { name: `${family}-${type}-file`, kind, size, latentScale, exporter: 'img2img' });
      t.match(
        file.folder.textEncoders.map(({ output, pooled, maxTokens }) => ({ output, pooled, maxTokens })),
        textEncoders.map(({ output, pooled, maxTokens }) => ({ output, pooled, maxTokens })),
      );
      const said = [
        'beta_start',
        'beta_end',
        'beta_schedule',
        'prediction_type',
        'set_alpha_to_one',
        'steps_offset',
      ] as const;
      for (const key of said) t.equal(file.folder.schedulerConfig[key], schedulerConfig[key], key);
      const cases = checkpointCases.filter((one) => one.family === family && one.dtype === type);
      for (const c of cases.slice(0, type === 'float32' ? 3 : 1)) {
        const data = await picture(file, c);
        t.ok(same(data, await folderPicture(c)), `${type}, ${c.scheduler}: the same bytes`);
        t.ok(beyondOne(data, c) <= 0.001, `${type}, ${c.scheduler}: diffusers' picture`);
      }
      await releaseModel(file);
    }
  });
}

t.test('what a request asks for changes the picture, beyond what the comparison allows', async (t) => {
  for (const family of familyNames) {
    const model = await ofFolder(family);
    const c = checkpointCases.find((one) => one.family === family)!;
    const request = maskedRequest(c);
    const change = async (more: object) => {
      const [made] = await generate(model, [{ ...request, ...more }]);
      return beyondOne(made!.pixels.data, c);
    };
    t.ok((await change({ prompt: 'a green bottle' })) > 0.01, `${family}: prompt`);
    t.ok((await change({ seed: 99 })) > 0.01, `${family}: seed`);
    t.ok((await change({ guidanceScale: 3 * request.guidanceScale })) > 0.01, `${family}: guidance`);
    if (family !== 'lcm') t.ok((await change({ negativePrompt: 'green' })) > 0.01, `${family}: negative prompt`);
  }
});

t.test('requests that share calls give the same bytes as alone', async (t) => {
  for (const family of familyNames) {
    const model = await ofFolder(family);
    const small = checkpointCases.filter((c) => c.family === family && c.width === c.height && c.dtype === 'float32');
    const alone: Uint8Array[] = [];
    for (const c of small) alone.push(await folderPicture(c));
    const together = await generate(model, small.map(maskedRequest));
    for (const [i, { pixels }] of together.entries()) t.ok(same(pixels.data, alone[i]!), `${family}, request ${i}`);
  }
});
