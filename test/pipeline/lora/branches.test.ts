// LoRAs beside the weights, row by row: who shares a UNet call changes nothing for a row, and a row without LoRAs is as if there
// were none. Pictures against diffusers' are in pictures.test.ts.

import { join } from 'node:path';
import t from 'tap';
import { readModelFolder } from '../../../src/pipeline/folder/model-folder.js';
import { denoise, type Generation, isDone, prepare } from '../../../src/pipeline/img2img.js';
import { readLora } from '../../../src/pipeline/lora/lora-file.js';
import { loadModel, type Model } from '../../../src/pipeline/model.js';
import { loadSessions } from '../../../src/pipeline/onnx/sessions.js';
import { requestOf } from '../cases.js';
import { writeCheckpointFolder } from '../checkpoints.js';
import { besideWeights } from './beside-weights.js';
import { loraCases, writeLora } from './loras.js';

const parent = t.testdir();
const device = { provider: 'cpu', threads: 2, cacheDir: join(parent, 'cache') } as const;
const [c] = loraCases.filter(({ family, guidance }) => family === 'sd' && guidance > 1);
const path = writeCheckpointFolder(join(parent, 'sd'), 'sd');
const base = await loadModel(path, device);
t.teardown(async () => {
  for (const session of Object.values(base.sessions)) await session.release();
});

const ofRank = (rank: number) => (tensors: Readonly<Record<string, readonly number[] | number>>) =>
  Object.fromEntries(
    Object.entries(tensors).map(([key, shape]) => {
      if (typeof shape === 'number') return [key, shape];
      return [key, key.includes('lora_A') ? [rank, ...shape.slice(1)] : [shape[0]!, rank, ...shape.slice(2)]];
    }),
  );
const files = {
  peft: readLora(writeLora(join(parent, 'peft.safetensors'), 'peft')),
  old: readLora(writeLora(join(parent, 'old.safetensors'), 'old')),
  large: readLora(writeLora(join(parent, 'large.safetensors'), 'peft', undefined, ofRank(40))),
  huge: readLora(writeLora(join(parent, 'huge.safetensors'), 'peft', undefined, ofRank(129))),
  kohya: readLora(writeLora(join(parent, 'kohya.safetensors'), 'kohya')),
};
type Name = keyof typeof files;

const beside = (loras: readonly (readonly [name: Name, scale: number])[]) =>
  besideWeights(
    base,
    loras.map(([name, scale]) => ({ name, scale, file: files[name] })),
  );

async function latentsOf(models: readonly Model[]): Promise<Float32Array[]> {
  const generations: Generation[] = [];
  for (const model of models) generations.push(...(await prepare(model, [requestOf(c!)])));
  while (!isDone(generations[0]!)) await denoise(models[0]!, generations);
  return generations.map(({ latents }) => latents);
}

t.test('a row gets the same bytes alone and beside rows of other LoRAs, ranks and scales, and of none', async (t) => {
  const sets = [
    [['peft', 0.8]],
    [['old', 1]],
    [['large', -0.5]],
    [
      ['old', 0.25],
      ['peft', 1.5],
    ],
  ] as const;
  const models = [...sets.map((set) => beside(set)!), base];
  const together = await latentsOf(models);
  for (const [i, model] of models.entries()) {
    const [alone] = await latentsOf([model]);
    t.strictSame(together[i], alone, JSON.stringify(sets[i] ?? 'none'));
  }
  t.equal(new Set(together.map((latents) => latents.join())).size, models.length, 'all differ');
});

t.test('without LoRAs the graph gives the bytes of one that takes none', async (t) => {
  const folder = readModelFolder(path, 'cpu');
  const { unet, text_encoder } = folder.graphs;
  const own = await loadSessions({ graphs: { unet, text_encoder } as typeof folder.graphs }, device);
  const plain: Model = { ...base, folder, sessions: { ...base.sessions, ...own } };
  t.notOk(own.unet!.takes('lora_ups'));
  t.ok(base.sessions.unet!.takes('lora_ups'));
  t.strictSame(await latentsOf([base]), await latentsOf([plain]));
  for (const session of Object.values(own)) await session.release();
});

t.test('which run beside the weights is decided by their files', (t) => {
  const cases: [sets: Parameters<typeof beside>[0], branched: boolean, why: string][] = [
    [[['peft', 1]], true, 'linear layers'],
    [
      [
        ['large', 1],
        ['large', 2],
      ],
      true,
      'ranks of 48 and 48',
    ],
    [
      [
        ['large', 1],
        ['large', 2],
        ['large', 3],
      ],
      false,
      'more than 128 together',
    ],
    [[['huge', 1]], false, 'more than 128'],
    [[['kohya', 1]], false, 'convolutions'],
  ];
  for (const [set, branched, why] of cases) t.equal(beside(set) !== undefined, branched, why);
  t.end();
});
