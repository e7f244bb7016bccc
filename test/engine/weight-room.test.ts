// What a model's weights take once they are loaded: who has room at all, and whose text encoders leave.

import { mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ModelStoreOptions } from '../../src/engine/worker/model-store.js';
import { readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import type { Model } from '../../src/pipeline/model.js';
import { generate, requestOf } from '../pipeline/cases.js';
import { writeFolder } from '../pipeline/folders.js';
import { encoders, golden, writeSd3, writeSd3File, writeSd3Parts } from '../pipeline/stable-diffusion-3-files.js';
import { coldStore } from './cold-store.js';

function modelsOf(t: Test): string {
  const modelsDir = join(t.testdir(), 'models');
  mkdirSync(modelsDir);
  return modelsDir;
}

function storeOf(modelsDir: string, options: Partial<ModelStoreOptions> = {}) {
  const store = coldStore({ modelsDir, cacheDir: join(modelsDir, '..', 'cache'), ...options });
  const states = () =>
    Object.fromEntries(
      store.models.map((model) => [model.name, model.runnable ? (model.loaded ? 'loaded' : 'runnable') : model.reason]),
    );
  return { store, states };
}

t.test("an exported graph's half floats count twice on a CPU, and once on a GPU", async (t) => {
  const parent = t.testdir();
  const of = (path: string, provider: 'cpu' | 'cuda') => readModelFolder(path, provider).weightBytes;
  const full = of(writeFolder(parent, 'sd', { weights: 'external' }, 'full'), 'cpu');
  const half = writeFolder(parent, 'sd', { precision: 'fp16', weights: 'external' }, 'half');
  const near = (a: number, b: number) => Math.abs(a - b) < 0.1 * b;
  t.ok(near(of(half, 'cpu').all, full.all), `${of(half, 'cpu').all} as ${full.all}`);
  const stored = (folder: string) =>
    ['text_encoder', 'unet', 'vae_encoder', 'vae_decoder'].reduce(
      (sum, part) => sum + statSync(join(folder, part, 'model.onnx_data')).size,
      0,
    );
  const twice = of(half, 'cpu').all - of(half, 'cuda').all;
  const saved = stored(join(parent, 'full')) - stored(half);
  // Small weights lie in the graph's own file.
  t.ok(twice >= saved && twice < 1.2 * saved, `${twice} as ${saved}`);
  t.equal(of(join(parent, 'full'), 'cuda').all, full.all);
  t.ok(full.textEncoders > 0 && full.textEncoders < full.all);
});

t.test('a model without room says so before anybody asks for it', async (t) => {
  const modelsDir = modelsOf(t);
  const { all, textEncoders } = readModelFolder(writeFolder(modelsDir, 'sd', {}, 'a'), 'cpu').weightBytes;
  const stateWith = async (weightLimits: ModelStoreOptions['weightLimits']) => {
    const { store, states } = storeOf(modelsDir, { weightLimits: weightLimits! });
    await store.look();
    return states().a;
  };
  t.equal(await stateWith({ machine: all, budget: all }), 'loaded');
  t.equal(
    await stateWith({ machine: all - 1 }),
    `its weights take ${all} bytes once they are loaded, and this machine has ${all - 1} bytes of memory`,
  );
  t.equal(await stateWith({ budget: all - 1 }), 'loaded', 'its text encoders leave');
  t.equal(await stateWith({ budget: all - textEncoders }), 'loaded');
  t.equal(
    await stateWith({ budget: all - textEncoders - 1 }),
    `its weights take ${all - textEncoders} bytes once they are loaded, those of its text encoders left out, and MODEL_MEMORY_BYTES is ${all - textEncoders - 1}`,
  );
});

t.test(
  'text encoders that have no room leave when they are done, come back for a new prompt, and change no byte',
  async (t) => {
    const modelsDir = modelsOf(t);
    const { all, textEncoders } = readModelFolder(writeSd3(join(modelsDir, 'a'), 'sd3'), 'cpu').weightBytes;
    const budget = all - 1;
    const roomy = storeOf(modelsDir);
    const tight = storeOf(modelsDir, { weightLimits: { budget }, modelMemoryBytes: budget });
    await roomy.store.look();
    await tight.store.look();
    t.equal(roomy.store.bytesOf(['a']), all);
    t.equal(tight.store.bytesOf(['a']), all - textEncoders);
    const [own, other] = await Promise.all([roomy, tight].map(({ store }) => store.get('a', new Set())));
    const [c] = golden.cases;
    const picture = async (model: Model, prompt: string) => {
      const [made] = await generate(model, [{ ...requestOf(c!), prompt }]);
      return Buffer.from(made!.pixels.data);
    };
    const rests = async (model: Model) => {
      const ids = { data: Array<number>(77).fill(0), dims: [1, 77] };
      return model.sessions.text_encoder_3!.run({ input_ids: ids }).then(
        () => false,
        () => true,
      );
    };
    t.notOk(await rests(other!), 'loaded as all the rest');
    for (const prompt of ['a red glass', 'soft light', 'a red glass']) {
      const before = tight.store.loadClock;
      const known = other!.promptCache.hits;
      t.ok((await picture(own!, prompt)).equals(await picture(other!, prompt)), prompt);
      t.ok(await rests(other!), 'left');
      t.notOk(await rests(own!));
      const isKnown = other!.promptCache.hits === known + 2;
      t.equal(tight.store.loadClock === before, isKnown, `${prompt}: loaded again only for what is new`);
    }
  },
);

t.test('a folder that lends text encoders takes who borrows them along when it changes or leaves', async (t) => {
  const modelsDir = modelsOf(t);
  const file = writeSd3File(join(modelsDir, 'dream.safetensors'), 'sd35-medium', []);
  const lender = writeSd3Parts(join(modelsDir, 'sd35'), 'sd35-medium', encoders, 'float32');
  writeFileSync(file.replace('.safetensors', '.img2img.json'), JSON.stringify({ text_encoders: 'sd35' }));
  const { store, states } = storeOf(modelsDir);
  await store.look();
  const noModel = 'model_index.json is missing';
  t.strictSame(states(), { dream: 'loaded', sd35: noModel });
  t.match(store.models[0], { textEncodersOf: 'sd35' });
  const model = await store.get('dream', new Set());
  const digest = store.models[0]!.runnable && store.models[0]!.digest;

  renameSync(join(lender, 'text_encoder_3'), join(modelsDir, '..', 'away'));
  const reason =
    'sd35/text_encoder_3/model.safetensors changed while the model was loaded; it is read again when its files stand still';
  t.match(store.changeOf(model), { message: reason });
  await store.look();
  t.strictSame(states(), { dream: 'loaded', sd35: noModel }, 'a T5 may be absent');
  t.not(store.models[0]!.runnable && store.models[0]!.digest, digest, 'it is another model then');

  renameSync(lender, join(modelsDir, '..', 'lender'));
  await store.look();
  t.strictSame(states(), {
    dream: 'dream.img2img.json has text_encoders "sd35", and beside the file there is no such folder',
  });
  renameSync(join(modelsDir, '..', 'away'), join(modelsDir, '..', 'lender', 'text_encoder_3'));
  renameSync(join(modelsDir, '..', 'lender'), lender);
  await store.look();
  t.strictSame(states(), { dream: 'loaded', sd35: noModel });
  t.equal(store.models[0]!.runnable && store.models[0]!.digest, digest);
});
