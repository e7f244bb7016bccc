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
  const base = (name: string) => store.get(name, new Set([...inUse].map(({ folder }) => folder.name)));
  const get = async (name: string, uses: readonly LoraUse[]) => folded.get(await base(name), uses);
  return { store, folded, base, get, ink, inUse, loaded, lorasDir, loras, states };
}

t.test('a set is folded once, shares what it does not change, and is another one at another scale', async (t) => {
  const { base, get, ink, loaded } = await storeOf(t);
  const model = await base('a');
  const one = await get('a', ink(1));
  t.equal(one.base, model);
  t.equal(one.sessions.unet, model.sessions.unet);
  t.not(one.sessions.text_encoder, model.sessions.text_encoder);
  t.equal(await get('a', ink(1)), one);
  t.strictSame(loaded, ['a text_encoder']);
  t.not(await get('a', ink(0.5)), one);
});

t.test('at most so many stay: the longest unused leaves, and none in use', async (t) => {
  const { folded, get, ink, inUse, loaded } = await storeOf(t);
  const first = await get('a', ink(1));
  inUse.add(first);
  const second = await get('a', ink(2));
  const third = await get('a', ink(3));
  t.equal(await get('a', ink(1)), first, 'in use');
  inUse.add(third);
  t.notOk(folded.hasRoomFor('a', ink(4)), 'while all are in use, another one waits');
  t.ok(folded.hasRoomFor('a', ink(3)));
  inUse.delete(first);
  t.ok(folded.hasRoomFor('a', ink(4)));
  t.equal(loaded.length, 3);
  t.not(await get('a', ink(2)), second, 'it had left');
});

t.test('their memory is counted: sets leave before models, and the default model stays', async (t) => {
  const { store, folded, base, get, ink, inUse, states } = await storeOf(t, 1, ['a', 'b']);
  const bytes = store.bytesOf(['a']);
  t.ok(bytes > 0);
  await base('b');
  t.strictSame(states(), [false, true], 'two models have no room');
  const one = await get('b', ink(1));
  t.ok(folded.bytes > 0 && folded.bytes < bytes, 'only what changes');
  inUse.add(one);
  t.notOk(folded.hasRoomFor('b', ink(2)));
  t.notOk(store.hasRoomFor('a', new Set(['b'])));
  inUse.clear();
  await base('a');
  t.equal(folded.bytes, 0, 'it left for a model');
  t.strictSame(states(), [true, false]);
});

t.test('a set of a model that was loaded again is folded again', async (t) => {
  const { base, get, ink } = await storeOf(t, 1, ['a', 'b']);
  const before = await get('a', ink(1));
  await base('b');
  const after = await get('a', ink(1));
  t.not(after, before);
  t.equal(after.base, await base('a'));
});

t.test('a file that changed since the request came is refused, and what is there now is used', async (t) => {
  const { get, ink, lorasDir, loras } = await storeOf(t);
  const [asked] = ink(1);
  writeFileSync(join(lorasDir, 'ink.safetensors'), 'other');
  await t.rejects(get('a', [asked!]), new LoraError('the LoRA ink has changed since the request came; send it again'));
  t.ok(await loras.look());
  t.match(loras.loras, [{ name: 'ink', runnable: false, reason: /^it cannot be read/ }]);
});
