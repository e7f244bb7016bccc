// Which sets of LoRAs stay folded, on small models of which LoRAs change the text encoder only.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FoldedModels } from '../../src/engine/worker/folded-models.js';
import { LoraError } from '../../src/engine/worker/lora-error.js';
import { LoraStore } from '../../src/engine/worker/lora-store.js';
import type { LoraUse } from '../../src/img2img-request.js';
import type { Model } from '../../src/pipeline/model.js';
import { writeCheckpointFolder } from '../pipeline/checkpoints.js';
import { writeLora } from '../pipeline/lora/loras.js';
import { coldStore } from './cold-store.js';

async function storeOf(t: Test, modelMemoryBytes = Number.POSITIVE_INFINITY, models: readonly string[] = ['a']) {
  const root = t.testdir();
  const modelsDir = join(root, 'models');
  const lorasDir = join(modelsDir, 'loras');
  for (const name of models) writeCheckpointFolder(join(modelsDir, name), 'sd');
  mkdirSync(lorasDir, { recursive: true });
  writeLora(join(lorasDir, 'ink.safetensors'), 'kohya', undefined, (tensors) =>
    Object.fromEntries(Object.entries(tensors).filter(([key]) => key.startsWith('lora_te_'))),
  );
  const device = { provider: 'cpu', threads: 1, cacheDir: join(root, 'cache') } as const;
  const store = coldStore({ ...device, modelsDir, lorasDir, modelMemoryBytes });
  const loras = new LoraStore(lorasDir, {});
  await store.look();
  await loras.look();
  const [entry] = loras.loras;
  const digest = entry?.runnable ? entry.digest : '';
  const inUse = new Set<Model>();
  const loaded: string[] = [];
  const folded = new FoldedModels(
    store,
    loras,
    device,
    () => inUse,
    (model, component) => loaded.push(`${model} ${component}`),
    2,
  );
  store.beside = folded;
  const ink = (scale: number): LoraUse[] => [{ name: 'ink', digest, scale }];
  const states = () => store.models.map((model) => model.runnable && model.loaded);
  return { store, folded, ink, inUse, loaded, lorasDir, loras, states };
}

t.test('a set is folded once, shares what it does not change, and is another one at another scale', async (t) => {
  const { folded, ink, loaded } = await storeOf(t);
  const base = await folded.get('a', []);
  const one = await folded.get('a', ink(1));
  t.equal(one.base, base);
  t.equal(one.sessions.unet, base.sessions.unet);
  t.not(one.sessions.text_encoder, base.sessions.text_encoder);
  t.equal(await folded.get('a', ink(1)), one);
  t.strictSame(loaded, ['a text_encoder']);
  t.not(await folded.get('a', ink(0.5)), one);
});

t.test('at most so many stay: the longest unused leaves, and none in use', async (t) => {
  const { folded, ink, inUse, loaded } = await storeOf(t);
  const first = await folded.get('a', ink(1));
  inUse.add(first);
  const second = await folded.get('a', ink(2));
  const third = await folded.get('a', ink(3));
  t.equal(await folded.get('a', ink(1)), first, 'in use');
  inUse.add(third);
  t.notOk(folded.hasRoomFor('a', ink(4)), 'while all are in use, another one waits');
  t.ok(folded.hasRoomFor('a', ink(3)));
  inUse.delete(first);
  t.ok(folded.hasRoomFor('a', ink(4)));
  t.equal(loaded.length, 3);
  t.not(await folded.get('a', ink(2)), second, 'it had left');
});

t.test('their memory is counted: sets leave before models, and the default model stays', async (t) => {
  const { store, folded, ink, inUse, states } = await storeOf(t, 1, ['a', 'b']);
  const bytes = store.bytesOf(['a']);
  t.ok(bytes > 0);
  await folded.get('b', []);
  t.strictSame(states(), [false, true], 'two models have no room');
  const one = await folded.get('b', ink(1));
  t.ok(folded.bytes > 0 && folded.bytes < bytes, 'only what changes');
  inUse.add(one);
  t.notOk(folded.hasRoomFor('b', ink(2)));
  t.notOk(store.hasRoomFor('a', new Set(['b'])));
  inUse.clear();
  await folded.get('a', []);
  t.equal(folded.bytes, 0, 'it left for a model');
  t.strictSame(states(), [true, false]);
});

t.test('a set of a model that was loaded again is folded again', async (t) => {
  const { folded, ink } = await storeOf(t, 1, ['a', 'b']);
  const before = await folded.get('a', ink(1));
  await folded.get('b', []);
  const after = await folded.get('a', ink(1));
  t.not(after, before);
  t.equal(after.base, await folded.get('a', []));
});

t.test('a file that changed since the request came is refused, and what is there now is used', async (t) => {
  const { folded, ink, lorasDir, loras } = await storeOf(t);
  const [asked] = ink(1);
  writeFileSync(join(lorasDir, 'ink.safetensors'), 'other');
  await t.rejects(
    folded.get('a', [asked!]),
    new LoraError('the LoRA ink has changed since the request came; send it again'),
  );
  t.ok(await loras.look());
  t.match(loras.loras, [{ name: 'ink', runnable: false, reason: /^it cannot be read/ }]);
});
