// LoRAs through the whole service: listed, named, folded, told, refused.

import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { form, startApp, stillLife } from '../../start.js';
import { writeCheckpointFolder, writeSingleFile } from '../checkpoints.js';
import { rewriteGraph, writeFolder } from '../folders.js';
import { writeSafetensors } from '../safetensors/write.js';
import { writeLora } from './loras.js';

const root = t.testdir();
const modelsDir = join(root, 'models');
const lorasDir = join(modelsDir, 'loras');
mkdirSync(join(lorasDir, 'more'), { recursive: true });
writeCheckpointFolder(join(modelsDir, 'a-sd'), 'sd');
const settings = JSON.stringify({ size: { native: 64, min: 64, max: 64 } });
writeFileSync(join(modelsDir, 'a-sd/img2img.json'), settings);
writeFileSync(join(modelsDir, 'xl.img2img.json'), settings);
writeFolder(modelsDir, 'sd', {}, 'exported');
// As exporters and optimisers leave it that drop the names of nodes.
rewriteGraph(writeFolder(modelsDir, 'sd', {}, 'nameless'), 'unet', (graph) => {
  for (const node of graph.nodes) node.rest = node.rest.filter(({ number }) => number !== 3);
});
writeSingleFile(join(modelsDir, 'xl.safetensors'), 'sdxl');
writeLora(join(lorasDir, 'ink.safetensors'), 'kohya', { 'modelspec.trigger_phrase': 'ink wash, brush' });
writeLora(join(lorasDir, 'more/a:b.safetensors'), 'peft');
writeLora(join(lorasDir, 'sketch.safetensors'), 'old');
writeLora(join(lorasDir, 'xl.safetensors'), 'kohya-xl');
writeLora(join(lorasDir, 'partly.safetensors'), 'kohya', undefined, (tensors) => ({
  ...tensors,
  'lora_unet_elsewhere.lora_down.weight': [2, 4],
  'lora_unet_elsewhere.lora_up.weight': [4, 2],
}));
writeLora(join(lorasDir, 'other.safetensors'), 'peft', undefined, (tensors) =>
  Object.fromEntries(Object.entries(tensors).map(([key, shape]) => [key.replace('blocks.1', 'blocks.7'), shape])),
);
writeFileSync(join(lorasDir, 'old.pt'), 'PK');
writeFileSync(join(root, 'secret.safetensors'), '');
symlinkSync(join(root, 'secret.safetensors'), join(lorasDir, 'link.safetensors'));
writeSafetensors(join(lorasDir, 'dora.safetensors'), {
  'lora_unet_a.dora_scale': { dtype: 'F32', shape: [1, 1], data: new Uint8Array(4) },
});

interface Told {
  readonly parameters: {
    readonly engine: string;
    readonly loras?: readonly { name: string; scale: number; digest: string }[];
  };
  readonly images: readonly { readonly b64_json: string }[];
  readonly warnings: readonly { readonly code: string; readonly detail: string }[];
  readonly timings: Record<string, number>;
}

t.test('LoRAs', async (t) => {
  const { url, engine } = await startApp(t, {
    MODELS_DIR: modelsDir,
    THREADS: '1',
    CACHE_DIR: join(root, 'cache'),
    MAX_LORAS: '3',
    MAX_CONCURRENT: '5',
  });
  const shared = { prompt: 'a red glass', steps: 2, strength: 1, seed: 1, width: 64, height: 64, guidance: 1 };
  const post = (body: Record<string, unknown>) =>
    fetch(`${url}/img2img`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ image: stillLife.toString('base64'), ...shared, ...body }),
    });
  const made = async (body: Record<string, unknown>) => {
    const response = await post(body);
    const json = (await response.json()) as Told;
    t.equal(response.status, 200, JSON.stringify(json).slice(0, 300));
    return json;
  };
  const listed = async () =>
    ((await (await fetch(`${url}/loras`)).json()) as { loras: Record<string, unknown>[] }).loras;
  const digestOf = async (name: string) => (await listed()).find((lora) => lora.name === name)!.digest as string;

  await t.test('are listed with family, rank, words and digest, or with the reason', async (t) => {
    const loras = await listed();
    t.match(loras, [
      { name: 'dora', runnable: false, reason: /^it is a DoRA/ },
      {
        name: 'ink',
        family: 'unknown',
        rank: 4,
        trigger_words: ['ink wash', 'brush'],
        digest: /^[0-9a-f]{64}$/,
        runnable: true,
        reason: null,
      },
      { name: 'link', runnable: false, reason: 'it is a link that leaves the folder of LoRAs' },
      { name: 'more/a:b', rank: 3, runnable: true },
      { name: 'old.pt', runnable: false, reason: /^it is a pickle/ },
      { name: 'other', runnable: true },
      { name: 'partly', runnable: true },
      { name: 'sketch', runnable: true },
      { name: 'xl', family: 'sdxl', runnable: true },
    ]);
    t.notOk(JSON.stringify(loras).includes(root), 'no paths');
    const { models } = (await (await fetch(`${url}/models`)).json()) as { models: Record<string, unknown>[] };
    t.match(
      models.map(({ name, lora_family }) => [name, lora_family]),
      [
        ['a-sd', 'sd1'],
        ['exported', 'sd1'],
        ['nameless', null],
        ['xl', 'sdxl'],
      ],
    );
  });

  let plain = '';
  let inked = '';
  await t.test(
    'change the picture, are told with scale and digest, and the fold is a wait for the model',
    async (t) => {
      plain = (await made({})).images[0]!.b64_json;
      const first = await made({ lora: 'ink:0.5' });
      inked = first.images[0]!.b64_json;
      t.not(inked, plain);
      t.strictSame(first.parameters.loras, [{ name: 'ink', scale: 0.5, digest: await digestOf('ink') }]);
      t.ok(first.timings.model_load! > 0);
      t.match(first.parameters.engine, / folded$/);
      const again = await made({ lora: [{ name: 'ink', scale: 0.5 }] });
      t.equal(again.images[0]!.b64_json, inked, 'a list in JSON is the same');
      t.notOk(again.timings.model_load, 'it is folded already');
      t.equal((await made({})).images[0]!.b64_json, plain, 'who names none gets none');
      t.equal((await made({ lora: 'ink:0' })).images[0]!.b64_json, plain, 'a scale of 0 is none');
    },
  );

  await t.test('one that is put into the folder while the server runs is used', async (t) => {
    copyFileSync(join(lorasDir, 'ink.safetensors'), join(lorasDir, 'new.safetensors'));
    while (!(await listed()).some(({ name }) => name === 'new')) await sleep(100);
    t.equal((await made({ lora: 'new:0.5' })).images[0]!.b64_json, inked);
  });

  await t.test('several are one sum, in any order, and names may have colons and folders', async (t) => {
    const one = await made({ lora: 'ink:0.5, more/a:b:-0.25' });
    const other = await made({ lora: ' more/a:b:-0.25 ,ink:.5,' });
    t.equal(one.images[0]!.b64_json, other.images[0]!.b64_json);
    t.not(one.images[0]!.b64_json, inked);
  });

  await t.test('a request gets the same bytes beside others', async (t) => {
    const bodies = [{}, { lora: 'ink:0.5' }, { lora: 'ink:0.5', seed: 1 }, { lora: 'ink:0.25' }, {}];
    const pictures = await Promise.all(bodies.map(async (body) => (await made(body)).images[0]!.b64_json));
    t.strictSame(pictures.slice(0, 3), [plain, inked, inked]);
    t.equal(pictures[4], plain);
    t.equal(new Set(pictures).size, 3);
  });

  await t.test(
    'different LoRAs of linear layers share calls, and each request gets the bytes that it gets alone',
    async (t) => {
      const bodies = ['sketch', 'sketch:0.5', 'more/a:b:0.9', 'sketch:0.5, more/a:b:1', ''].map((lora) => ({
        lora,
        steps: 20,
        guidance: 7.5, // on a CPU, requests of one row share no calls
      }));
      const alone: Told[] = [];
      for (const body of bodies) alone.push(await made(body));
      t.match(
        alone.map(({ parameters }) => parameters.engine.split(' ').at(-1)),
        ['branched', 'branched', 'branched', 'branched', /^[0-9a-f]{16}$/],
      );
      t.strictSame(
        alone.map(({ timings }) => (timings.model_load ?? 0) > 0),
        [true, false, true, false, false],
        'a file is read once, whatever the scale',
      );
      let rows = 0;
      engine.on('step', (step) => {
        rows = Math.max(rows, step.rows);
      });
      const together = await Promise.all(bodies.map(made));
      t.ok(rows > 1, `${rows} rows in a call`);
      t.strictSame(
        together.map(({ images }) => images[0]!.b64_json),
        alone.map(({ images }) => images[0]!.b64_json),
      );
      t.equal(new Set(together.map(({ images }) => images[0]!.b64_json)).size, bodies.length);
    },
  );

  await t.test('keys that the model has no place for are told', async (t) => {
    const { warnings } = await made({ lora: 'partly' });
    t.match(warnings, [{ code: 'lora_keys_unused', detail: /Keys: 2\.$/ }]);
  });

  await t.test('the headers of a picture tell them', async (t) => {
    const response = await fetch(`${url}/img2img`, {
      method: 'POST',
      body: form(stillLife, { ...shared, lora: 'ink:0.5' }),
    });
    t.equal(response.status, 200);
    t.equal(response.headers.get('img2img-loras'), `ink:0.5;sha256=${await digestOf('ink')}`);
  });

  const refusals: Record<string, [body: Record<string, unknown>, status: number, code: string, detail: RegExp]> = {
    unknown: [{ lora: 'inc' }, 404, 'lora_not_found', /There is no LoRA "inc"/],
    'a path': [{ lora: '../../secret' }, 404, 'lora_not_found', /There is no LoRA/],
    'of another family': [
      { lora: 'xl' },
      422,
      'lora_not_runnable',
      /"xl" is for Stable Diffusion XL, and the model a-sd is Stable Diffusion 1/,
    ],
    'of another shape': [{ lora: 'ink', model: 'xl' }, 422, 'lora_not_runnable', /the LoRA ink does not fit/],
    'with places that the model has not': [{ lora: 'other' }, 422, 'lora_not_runnable', /only \d+ of its \d+ keys/],
    'that cannot be used': [{ lora: 'dora' }, 422, 'lora_not_runnable', /it is a DoRA/],
    'for an export that does not name its modules': [
      { lora: 'ink', model: 'nameless' },
      422,
      'lora_not_runnable',
      /its exported UNet does not tell which weight belongs to which module/,
    ],
    'of another shape than an export has': [
      { lora: 'ink', model: 'exported' },
      422,
      'lora_not_runnable',
      /the LoRA ink does not fit/,
    ],
    'named twice': [{ lora: 'ink, ink:0.5' }, 400, 'invalid_request', /names "ink" twice/],
    'too many': [{ lora: 'a, b, c, d' }, 400, 'invalid_request', /names 4 LoRAs; at most 3/],
    'with a scale out of range': [
      { lora: 'ink:11' },
      400,
      'invalid_request',
      /the scale 11 for "ink"; it must be from -10 to 10/,
    ],
    'with a scale out of range in JSON': [
      { lora: [{ name: 'ink', scale: -11 }] },
      400,
      'invalid_request',
      /must be at least -10/,
    ],
    'with a scale that is none': [{ lora: 'ink:much' }, 400, 'invalid_request', /after its last colon/],
    'without a name': [{ lora: ':1' }, 400, 'invalid_request', /without a name/],
    'of another type': [{ lora: 5 }, 400, 'invalid_request', /lora/],
  };
  for (const [name, [body, status, code, detail]] of Object.entries(refusals)) {
    await t.test(`${name}: refused`, async (t) => {
      const response = await post(body);
      t.match(await response.json(), { code, detail, errors: [{ pointer: /^#\/lora/ }] });
      t.equal(response.status, status);
    });
  }

  await t.test('sheets sweep them', async (t) => {
    const response = await fetch(`${url}/img2img/sheet`, {
      method: 'POST',
      headers: { accept: 'application/json' },
      body: form(stillLife, { ...shared, x_field: 'lora', x_values: 'ink:0 | ink:0.5' }),
    });
    t.equal(response.status, 200);
    const { cells } = (await response.json()) as { cells: { b64_json: string }[][] };
    t.strictSame(
      cells.flat().map(({ b64_json }) => b64_json),
      [plain, inked],
    );
  });

  await t.test("the web UI's prompts name them, and its list has no paths", async (t) => {
    const response = await fetch(`${url}/sdapi/v1/img2img`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        init_images: [stillLife.toString('base64')],
        prompt: 'a red glass<lora:ink:0.5>',
        ...{ steps: 2, denoising_strength: 1, seed: 1, width: 64, height: 64, cfg_scale: 1, sampler_name: 'DDIM' },
      }),
    });
    t.equal(response.status, 200);
    t.match(response.headers.get('img2img-loras'), /^ink:0\.5;/);
    t.notMatch(response.headers.get('img2img-warnings') ?? '', /prompt_syntax_unused/);
    const names = (await (await fetch(`${url}/sdapi/v1/loras`)).json()) as { name: string; path: string }[];
    t.strictSame(
      names.map(({ name, path }) => [name, path]),
      ['ink', 'more/a:b', 'new', 'other', 'partly', 'sketch', 'xl'].map((name) => [name, name]),
    );
  });
});
