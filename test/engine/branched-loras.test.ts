// LoRAs beside the weights: which are read when, what they take, and what is shared. What they compute is in test/pipeline/lora.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BranchedLoras } from '../../src/engine/worker/branched-loras.js';
import { FoldedModels } from '../../src/engine/worker/folded-models.js';
import { LoraError } from '../../src/engine/worker/lora-error.js';
import { LoraModels } from '../../src/engine/worker/lora-models.js';
import { LoraStore } from '../../src/engine/worker/lora-store.js';
import type { LoraUse } from '../../src/img2img-request.js';
import type { Model } from '../../src/pipeline/model.js';
import { encodePrompts } from '../../src/pipeline/prompts/prompts.js';
import { writeCheckpointFolder } from '../pipeline/checkpoints.js';
import { writeLora } from '../pipeline/lora/loras.js';
import { coldStore } from './cold-store.js';

const root = t.testdir();
const modelsDir = join(root, 'models');
writeCheckpointFolder(join(modelsDir, 'a'), 'sd');

async function modelsOf(t: Test, modelMemoryBytes = Number.POSITIVE_INFINITY) {
  const lorasDir = t.testdir();
  mkdirSync(lorasDir, { recursive: true });
  const only = (start: string) => (tensors: Readonly<Record<string, readonly number[] | number>>) =>
    Object.fromEntries(Object.entries(tensors).filter(([key]) => key.startsWith(start)));
  writeLora(join(lorasDir, 'ink.safetensors'), 'peft', undefined, only('unet.'));
  writeLora(join(lorasDir, 'wide.safetensors'), 'kohya');
  writeLora(join(lorasDir, 'words.safetensors'), 'kohya', undefined, only('lora_te_'));
  const device = { provider: 'cpu', threads: 1, cacheDir: join(root, 'cache') } as const;
  const store = coldStore({ ...device, modelsDir, modelMemoryBytes });
  const loras = new LoraStore(lorasDir, {});
  await store.look();
  await loras.look();
  const inUse = new Set<Model>();
  const branched = new BranchedLoras(loras, () => inUse);
  const folded = new FoldedModels(
    store,
    loras,
    device,
    () => inUse,
    () => {},
  );
  const models = new LoraModels(store, branched, folded, () => inUse);
  const use = (name: string, scale: number): LoraUse => {
    const entry = loras.loras.find((one) => one.name === name)!;
    return { name, scale, digest: entry.runnable ? entry.digest : '' };
  };
  return { store, models, branched, folded, inUse, use, lorasDir };
}

t.test(
  'a file is read once, a thousand scales take no more memory, and every session is the base model’s',
  async (t) => {
    const { store, models, branched, folded, use } = await modelsOf(t);
    const base = await models.get('a', []);
    t.equal(branched.bytes, 0);
    const first = await models.get('a', [use('ink', 1)]);
    const { bytes } = branched;
    t.ok(bytes > 0);
    const clock = store.loadClock;
    for (let i = 1; i <= 1000; i++) {
      const one = await models.get('a', [use('ink', i / 100)]);
      if (one.sessions !== base.sessions) t.fail('another session');
    }
    t.equal(store.loadClock, clock, 'nothing was loaded');
    t.equal(branched.bytes, bytes);
    t.equal(folded.bytes, 0);
    t.equal(first.base, base);
  },
);

t.test('those that cannot run beside the weights are folded, all of a request together', async (t) => {
  const { models, use } = await modelsOf(t);
  const base = await models.get('a', []);
  for (const loras of [[use('wide', 1)], [use('ink', 1), use('wide', 1)]]) {
    const model = await models.get('a', loras);
    t.notOk(model.branches);
    t.not(model.sessions.unet, base.sessions.unet);
  }
});

t.test('what has no room is used and not kept; what is in use stays, and no model leaves for it', async (t) => {
  const { store, models, branched, inUse, use } = await modelsOf(t, 1);
  const model = await models.get('a', [use('ink', 1)]);
  t.ok(model.branches?.rows.unet?.length);
  t.equal(branched.bytes, 0);
  t.match(store.models, [{ name: 'a', loaded: true }]);
  inUse.add(model);
  t.ok(models.hasRoomFor('a', [use('ink', 0.5)]), 'it takes no model’s room');
  t.notOk(models.hasRoomFor('a', [use('wide', 0.5)]), 'a fold does');

  const wide = await modelsOf(t);
  const used = await wide.models.get('a', [wide.use('ink', 1)]);
  await wide.models.get('a', [wide.use('words', 1)]);
  const all = wide.branched.bytes;
  wide.inUse.add(used);
  await wide.models.makeRoom(() => false);
  t.ok(wide.branched.bytes > 0 && wide.branched.bytes < all);
  t.equal(wide.branched.bytes, wide.models.bytesInUse);
  wide.inUse.clear();
  await wide.models.makeRoom(() => false);
  t.equal(wide.branched.bytes, 0);
});

t.test('prompts are cached with the scales of LoRAs that change text encoders, and only with those', async (t) => {
  const { models, use } = await modelsOf(t);
  const base = await models.get('a', []);
  const prompt = { text: 'a red glass', syntax: 'plain', long: false } as const;
  const cases: [loras: LoraUse[], miss: boolean][] = [
    [[], true],
    [[use('words', 1)], true],
    [[use('words', 0.5)], true],
    [[use('words', 1)], false],
    [[use('ink', 1)], false],
    [[use('ink', 1), use('words', 1)], false],
    [[], false],
  ];
  const seen = new Map<string, Float32Array | readonly number[]>();
  for (const [loras, miss] of cases) {
    const model = await models.get('a', loras);
    const { misses } = base.promptCache;
    const [[encoded]] = (await encodePrompts(model, [[prompt]])) as unknown as [[{ embeds: { data: Float32Array } }]];
    const told = JSON.stringify(loras.map(({ name, scale }) => [name, scale]));
    t.equal(base.promptCache.misses - misses, Number(miss), told);
    const key = model.branches?.textKey ?? '';
    t.strictSame(encoded.embeds.data, seen.get(key) ?? encoded.embeds.data);
    seen.set(key, encoded.embeds.data);
  }
  t.equal(new Set([...seen.values()].map((data) => data.join())).size, 3, 'three ways to read it');
});

t.test('a file that changed since the request came is refused', async (t) => {
  const { models, use, lorasDir } = await modelsOf(t);
  const asked = use('ink', 1);
  writeFileSync(join(lorasDir, 'ink.safetensors'), 'other');
  const message = 'the LoRA ink has changed since the request came; send it again';
  await t.rejects(models.get('a', [asked]), new LoraError(message));
});
