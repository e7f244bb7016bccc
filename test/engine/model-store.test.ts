import { appendFileSync, copyFileSync, mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { BrokenModel, ModelInfo } from '../../src/engine/shared/messages.js';
import { type FamilyName, type Variant, writeFolder } from '../pipeline/folders.js';
import { coldStore } from './cold-store.js';

/** A store of models that are not warmed up. Its folders: the names and families given. */
function storeOf(
  t: Test,
  folders: Readonly<Record<string, FamilyName>> = {},
  maxSteps?: number,
  modelMemoryBytes = Number.POSITIVE_INFINITY,
  variant: Variant = {},
) {
  const root = t.testdir();
  const modelsDir = join(root, 'models');
  for (const [name, family] of Object.entries(folders)) writeFolder(modelsDir, family, variant, name);
  const told: (ModelInfo | BrokenModel)[] = [];
  const store = coldStore({ modelsDir, cacheDir: join(root, 'cache'), modelMemoryBytes, maxSteps }, (info) =>
    told.push(info),
  );
  const states = () =>
    Object.fromEntries(
      store.models.map((model) => [model.name, model.runnable ? (model.loaded ? 'loaded' : 'runnable') : model.reason]),
    );
  return { store, modelsDir, states, told };
}

t.test('the first model that can be loaded is, and a look at folders that stay finds nothing new', async (t) => {
  const { store, modelsDir, states } = storeOf(t, { a: 'sd', b: 'lcm' });
  rmSync(join(modelsDir, 'a/unet/model.onnx'));
  t.ok(await store.look());
  t.strictSame(states(), { a: 'unet/model.onnx is missing, and unet/ holds no safetensors either', b: 'loaded' });
  t.notOk(await store.look());
});

t.test('folders that come, go, change and come back are seen at the next look', async (t) => {
  const { store, modelsDir, states } = storeOf(t, { a: 'sd' });
  await store.look();
  writeFolder(modelsDir, 'lcm', {}, 'b');
  t.ok(await store.look());
  t.strictSame(states(), { a: 'loaded', b: 'runnable' });

  renameSync(join(modelsDir, 'b/vae_decoder'), join(modelsDir, 'away'));
  t.ok(await store.look());
  t.strictSame(states(), { a: 'loaded', b: 'vae_decoder/model.onnx is missing' });
  renameSync(join(modelsDir, 'away'), join(modelsDir, 'b/vae_decoder'));
  t.ok(await store.look());
  t.strictSame(states(), { a: 'loaded', b: 'runnable' });

  renameSync(join(modelsDir, 'b'), join(modelsDir, '..', 'b'));
  renameSync(join(modelsDir, 'a'), join(modelsDir, '..', 'a'));
  t.ok(await store.look());
  t.strictSame(states(), {});
});

t.test('a component that was missing when its model was first asked for is no fault once it is back', async (t) => {
  const { store, modelsDir, states } = storeOf(t, { a: 'sd', b: 'lcm' });
  await store.look();
  renameSync(join(modelsDir, 'b/unet'), join(modelsDir, '..', 'unet'));
  await t.rejects(store.get('b', new Set()), /unet\/model\.onnx is missing/);
  t.match(states(), { b: /unet\/model\.onnx is missing/ });
  renameSync(join(modelsDir, '..', 'unet'), join(modelsDir, 'b/unet'));
  t.ok(await store.look());
  t.strictSame(states(), { a: 'loaded', b: 'runnable' });
  await store.get('b', new Set());
  t.strictSame(states(), { a: 'loaded', b: 'loaded' });
});

t.test('what pictures have taken is given back once a model rests, and the same pictures come after', async (t) => {
  const { store } = storeOf(t, { a: 'sd' });
  await store.look();
  const { vae_decoder, vae_encoder } = (await store.get('a', new Set())).sessions;
  const decoded = async () => {
    const data = Float32Array.from({ length: 4 * 8 * 8 }, (_, i) => Math.sin(i));
    return [...(await vae_decoder!.run({ latent_sample: { data, dims: [1, 4, 8, 8] } }))[0]!.data];
  };
  const before = await decoded();
  t.notOk(vae_encoder.hasRested(0), 'nothing has run');
  await store.giveBack(60_000, () => true);
  t.ok(vae_decoder!.hasRested(0), 'it ran a moment ago');
  await store.giveBack(0, () => false);
  t.ok(vae_decoder!.hasRested(0), 'something runs');
  await store.giveBack(0, () => true);
  t.notOk(vae_decoder!.hasRested(0), 'there is nothing left');
  t.strictSame(await decoded(), before);

  const leaving = vae_decoder!.giveBack();
  await vae_decoder!.release();
  await leaving;
  await t.rejects(decoded(), /released/, 'a model that leaves meanwhile has left');
});

t.test('where no model can run, the folder of models says why until one can', async (t) => {
  const { store, modelsDir, states } = storeOf(t);
  await store.look();
  t.equal(store.problem, `MODELS_DIR ${modelsDir} does not exist`);
  writeFileSync(modelsDir, '');
  t.ok(await store.look());
  t.equal(store.problem, `MODELS_DIR ${modelsDir} is not a folder`);
  rmSync(modelsDir);
  mkdirSync(modelsDir);
  await store.look();
  t.equal(store.problem, `MODELS_DIR ${modelsDir} holds no models`);
  writeFolder(modelsDir, 'sd', {}, '.');
  await store.look();
  t.equal(store.problem, `MODELS_DIR ${modelsDir} is a model itself; it must be the folder that holds models`);
  rmSync(modelsDir, { recursive: true });
  writeFolder(modelsDir, 'sd', {}, 'a');
  t.ok(await store.look());
  t.equal(store.problem, undefined);
  t.strictSame(states(), { a: 'loaded' });
});

t.test('a default of more steps than the server allows is taken down to those, and the model says so', async (t) => {
  const { store, modelsDir } = storeOf(t, { a: 'sd', b: 'sd' }, 20);
  writeFileSync(join(modelsDir, 'b/img2img.json'), JSON.stringify({ defaults: { steps: 12 } }));
  await store.look();
  t.match(store.models[0], { defaults: { steps: 20 }, note: /^its default of 25 steps is more than MAX_STEPS 20 / });
  t.match(store.models[1], { defaults: { steps: 12 }, note: undefined });
});

/** What somebody does to a file of weights. */
const changes: Record<string, { file: string; change(path: string): void }> = {
  'weights beside a graph, written over': {
    file: 'unet/model.onnx_data',
    change: (path) => writeFileSync(path, 'zeros'),
  },
  'weights that are truncated': { file: 'vae_decoder/model.onnx_data', change: (path) => truncateSync(path, 10) },
  'a graph in whose place another one was renamed': {
    file: 'unet/model.onnx',
    change: (path) => {
      copyFileSync(path, `${path}.new`);
      renameSync(`${path}.new`, path);
    },
  },
  'a file that is gone': { file: 'vae_encoder/model.onnx', change: (path) => rmSync(path) },
};

t.test(
  'a file that changes under a loaded model takes it out of service, until the files are whole again',
  async (t) => {
    for (const [name, { file, change }] of Object.entries(changes)) {
      const { store, modelsDir, states, told } = storeOf(t, { a: 'sd' }, undefined, undefined, { weights: 'external' });
      await store.look();
      const model = await store.get('a', new Set());
      t.equal(store.changeOf(model), undefined, `${name}: nothing has changed yet`);

      const path = join(modelsDir, 'a', file);
      copyFileSync(path, `${modelsDir}/../whole`);
      change(path);
      const reason = `${file} changed while the model was loaded; it is read again when its files stand still`;
      t.match(store.changeOf(model), { message: reason }, name);
      t.strictSame(states(), { a: reason });
      t.match(told.at(-1), { name: 'a', runnable: false, changing: true });
      t.match(
        store.changeOf(model),
        { message: /^its files changed while it was loaded/ },
        'nor do others go on with it',
      );

      copyFileSync(`${modelsDir}/../whole`, path);
      await store.look();
      t.strictSame(states(), { a: 'loaded' }, `${name}: whole again`);
      t.not(await store.get('a', new Set()), model);
      t.ok(store.changeOf(model), 'what was loaded before stays out of service');
    }
  },
);

t.test('a config that changes under a loaded model is read when nothing runs', async (t) => {
  const { store, modelsDir, states } = storeOf(t, { a: 'sd', b: 'lcm' });
  await store.look();
  const model = await store.get('a', new Set());
  writeFileSync(join(modelsDir, 'a/img2img.json'), JSON.stringify({ title: 'New' }));
  await store.look(() => false);
  t.equal(store.changeOf(model), undefined, 'what runs goes on');
  t.ok(await store.look());
  t.match(store.models[0], { title: 'New', loaded: true });
  t.strictSame(states(), { a: 'loaded', b: 'runnable' });
});

/** Two models that are loaded, and whose configs have changed since. */
async function changedStore(t: Test, changed: (info: ModelInfo | BrokenModel) => void) {
  const root = t.testdir();
  const modelsDir = join(root, 'models');
  for (const name of ['a', 'b']) writeFolder(modelsDir, 'sd', {}, name);
  const store = coldStore({ modelsDir, cacheDir: join(root, 'cache') }, (info) => changed(info));
  await store.look();
  await store.get('b', new Set());
  for (const name of ['a', 'b']) {
    writeFileSync(join(modelsDir, name, 'img2img.json'), JSON.stringify({ title: 'New' }));
  }
  return {
    store,
    loaded: () => store.models.flatMap(({ name, ...model }) => ('loaded' in model && model.loaded ? name : [])),
  };
}

t.test('of several models that have changed, none is loaded any more once a request has begun', async (t) => {
  let idle = true;
  const { store, loaded } = await changedStore(t, (info) => {
    if (info.runnable && info.title === 'New') idle = false;
  });
  await store.look(() => idle);
  t.strictSame(loaded(), ['a']);
  idle = true;
  await store.look(() => idle);
  t.strictSame(loaded(), ['a', 'b']);
});

t.test('a model that is loaded again takes no room from a request that begins meanwhile', async (t) => {
  const { store, modelsDir, states } = storeOf(t, { a: 'sd', b: 'sd' }, undefined, 1, { weights: 'external' });
  await store.look();
  const weights = join(modelsDir, 'a/unet/model.onnx_data');
  copyFileSync(weights, `${modelsDir}/../whole`);
  truncateSync(weights, 10);
  await t.rejects(store.get('a', new Set()), /changed while the model was loaded/);
  await store.get('b', new Set());
  copyFileSync(`${modelsDir}/../whole`, weights);
  let idle = true;
  const begin = async () => {
    idle = false;
  };
  store.beside = { bytes: 0, bytesInUse: 0, makeRoom: begin };
  await store.look(() => idle);
  t.strictSame(states(), { a: 'loaded', b: 'loaded' });
});

t.test('a model whose files are being written waits, and is read when they stand still', async (t) => {
  const { store, modelsDir, states } = storeOf(t, { a: 'sd', b: 'lcm' });
  const file = join(modelsDir, 'b/unet/model.onnx');
  const writing = setInterval(() => appendFileSync(file, '.'), 20);
  await store.look();
  clearInterval(writing);
  const waits = 'its files are being written; it is read again when its files stand still';
  t.strictSame(states(), { a: 'loaded', b: waits });
  t.ok(store.isWaiting);
  writeFolder(modelsDir, 'lcm', {}, 'b');
  t.ok(await store.look());
  t.strictSame(states(), { a: 'loaded', b: 'runnable' });
  t.notOk(store.isWaiting);
});

const preloads: readonly [name: string, wanted: 'auto' | string[], loaded: string[], memory?: number][] = [
  ['the model of the fewest steps', 'auto', ['a', 'c']],
  ['none', [], ['a']],
  ['those that are named', ['b', 'a'], ['a', 'b']],
  ['one that is not there, beside others', ['nowhere', 'b'], ['a', 'b']],
  ['what does not fit beside the default one', ['b', 'c'], ['a'], 1],
  ['what cannot run', ['broken'], ['a']],
];
for (const [name, wanted, expected, memory] of preloads) {
  t.test(`loaded before it is asked for: ${name}`, async (t) => {
    const { store, modelsDir } = storeOf(t, { a: 'sd', b: 'sd', broken: 'sd', c: 'lcm' }, undefined, memory);
    rmSync(join(modelsDir, 'broken/unet/model.onnx'));
    await store.look();
    await store.preload(wanted);
    t.strictSame(
      store.models.flatMap((model) => (model.runnable && model.loaded ? [model.name] : [])),
      expected,
    );
  });
}

t.test('where no model can run, none is loaded before it is asked for', async (t) => {
  const { store } = storeOf(t);
  await store.look();
  await store.preload('auto');
  t.strictSame(store.models, []);
});
