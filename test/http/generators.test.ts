// Generators: a model with a way to use it. What a request says beats their defaults and never their limits, on every path.

import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import t, { type Test } from 'tap';
import { GeneratorFiles } from '../../src/http/generators/generator-files.js';
import { type Choice, throughGenerator } from '../../src/http/generators/shelf.js';
import { writeSafetensors } from '../pipeline/safetensors/write.js';
import { cottage, form, startApp } from '../start.js';

type Fields = Record<string, string | number>;

const tiny = `${process.cwd()}/test/reference/tiny`;
const write = (folder: string, name: string, content: unknown) =>
  writeFileSync(
    join(folder, `${name}.generator.json`),
    typeof content === 'string' ? content : JSON.stringify(content),
  );

const full = {
  base: 'a',
  title: 'Full',
  license: 'CC0-1.0',
  picture: 'full.png',
  prompt_prefix: 'ink drawing of ',
  prompt_suffix: ', dark',
  negative_prompt: 'blurry',
  defaults: { influence: 40, guidance: 9, steps: 12, scheduler: 'euler' },
  limits: { steps: 20, guidance: 10, side: 50, pixels: 2000 },
};

/** Each with the sentence that it is listed with. */
const broken: Readonly<Record<string, [content: unknown, reason: string]>> = {
  'no-json': ['{"base": ', 'no-json.generator.json is not a JSON object'],
  'a-list': [[], 'a-list.generator.json is not a JSON object'],
  'no-base': [{}, 'no-base.generator.json: base is missing'],
  'unknown-key': [{ base: 'a', promt: 'x' }, '"promt" is not known (known: base, title, '],
  'wrong-type': [{ base: 'a', title: 3 }, 'wrong-type.generator.json: title is 3; it must be a string'],
  'out-of-range': [{ base: 'a', defaults: { guidance: 31 } }, 'defaults.guidance is 31; it must be at most 30'],
  'no-scheduler': [{ base: 'a', defaults: { scheduler: 'x' } }, 'defaults.scheduler is "x"; it must be one of ddim'],
  'two-names': [{ base: 'a', defaults: { influence: 1, strength: 1 } }, 'two names for one thing'],
  'beyond-itself': [
    { base: 'a', defaults: { steps: 30 }, limits: { steps: 20 } },
    'defaults.steps is 30; limits.steps is 20',
  ],
  'no-picture': [{ base: 'a', picture: 'nowhere.png' }, 'nowhere.png is missing'],
  'a-path': [{ base: 'a', picture: '../secret.png' }, 'picture is "../secret.png"; it must match'],
  'too-large': [{ base: 'a', description: 'x'.repeat(70_000) }, 'bytes; at most 65536 are read'],
  'base-unknown': [{ base: 'nowhere' }, 'its base nowhere is not in MODELS_DIR'],
  'base-generator': [{ base: 'full' }, 'its base full is a generator itself; it must be a model'],
  'base-broken': [{ base: 'broken' }, 'its base broken cannot run: model_index.json'],
  'base-unfit': [
    { base: 'a', defaults: { scheduler: 'flow_euler' } },
    'its base a cannot run the scheduler flow_euler',
  ],
  'lora-unknown': [{ base: 'a', loras: [{ name: 'nowhere', scale: 0.5 }] }, 'nowhere'],
  'lora-scale': [{ base: 'a', loras: [{ name: 'x', scale: 11 }] }, 'loras.0.scale is 11; it must be at most 10'],
  'too-small': [{ base: 'a', limits: { side: 8 } }, 'its limit of sides is below'],
};

async function start(t: Test) {
  const modelsDir = t.testdir();
  symlinkSync(tiny, join(modelsDir, 'a'));
  mkdirSync(join(modelsDir, 'broken/unet'), { recursive: true });
  writeFileSync(join(modelsDir, 'full.png'), await sharp(cottage).resize(32, 32).png().toBuffer());
  write(modelsDir, 'full', full);
  write(modelsDir, 'plain', { base: 'a' });
  write(modelsDir, 'a', { base: 'a' });
  for (const [name, [content]] of Object.entries(broken)) write(modelsDir, name, content);
  const { url } = await startApp(t, { MODELS_DIR: modelsDir, MODEL_ALIASES: 'gpt-image-1=full' });
  const dryRun = async (fields: Fields) => {
    const answer = await fetch(`${url}/img2img`, {
      method: 'POST',
      body: form(cottage, { dry_run: 'true', ...fields }),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const post = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Record<string, unknown> };
  };
  return { url, modelsDir, dryRun, post };
}

t.test('generators', async (t) => {
  const { url, dryRun, post } = await start(t);
  const image = cottage.toString('base64');

  await t.test('are listed beside the models, the wrong ones with a sentence', async (t) => {
    const { models } = (await (await fetch(`${url}/models`)).json()) as {
      models: { name: string; runnable: boolean; reason?: string; generator?: object }[];
    };
    t.strictSame(
      models.filter(({ runnable }) => runnable).map(({ name }) => name),
      ['a', 'full', 'plain'],
    );
    t.notOk(models[0]!.generator);
    const listed = (name: string) => models.find((one) => one.name === name);
    t.match(listed('full'), {
      title: 'Full',
      license: 'CC0-1.0',
      defaults: { steps: 12, guidance: 9, scheduler: 'euler', influence: 40 },
      limits: { steps: 20, guidance: 10, pixels: 2000 },
      generator: {
        base: 'a',
        prompt_prefix: 'ink drawing of ',
        prompt_suffix: ', dark',
        negative_prompt: 'blurry',
        picture: 'models/full/picture',
      },
    });
    for (const [name, [, reason]] of Object.entries(broken)) t.match(listed(name)?.reason, reason, name);
    const taken = 'a model is called a: give its file another name';
    t.match(listed('a.generator.json'), { runnable: false, reason: taken }, 'a name that a model has');
    const one = await fetch(`${url}/models/full`);
    t.match(await one.json(), { name: 'full', generator: { base: 'a' } });
  });

  await t.test('have a picture', async (t) => {
    const answer = await fetch(`${url}/models/full/picture`);
    t.equal(answer.headers.get('content-type'), 'image/png');
    t.equal((await sharp(Buffer.from(await answer.arrayBuffer())).metadata()).width, 32);
    for (const name of ['plain', 'a', 'nowhere', 'no-picture']) {
      t.equal((await fetch(`${url}/models/${name}/picture`)).status, 404, name);
    }
  });

  const precedence: [name: string, fields: Fields, parameters: object][] = [
    [
      'the model',
      { model: 'a' },
      { guidance: 7.5, steps: 25, influence: 25, negative_prompt: '', base_model: undefined },
    ],
    ['a generator that says nothing', { model: 'plain' }, { guidance: 7.5, steps: 25, influence: 25, base_model: 'a' }],
    [
      "a generator's defaults",
      { model: 'full' },
      { model: 'full', base_model: 'a', guidance: 9, steps: 12, influence: 40, strength: 0.6, scheduler: 'euler' },
    ],
    [
      'what a request says',
      { model: 'full', guidance: 2, steps: 20, strength: 0.5, scheduler: 'ddim', negative_prompt: 'bright' },
      { guidance: 2, steps: 20, influence: 50, scheduler: 'ddim', negative_prompt: 'bright' },
    ],
    ['the prompt between its additions', { model: 'full', prompt: 'a cat' }, { prompt: 'ink drawing of a cat, dark' }],
    ['no prompt at all', { model: 'full' }, { prompt: 'ink drawing of, dark', negative_prompt: 'blurry' }],
    ['a size within its limit', { model: 'full', width: 32, height: 32 }, { size: '32x32' }],
  ];
  for (const [name, fields, expected] of precedence) {
    await t.test(`settle: ${name}`, async (t) => {
      const { body } = await dryRun(fields);
      t.match(body.parameters, expected);
    });
  }

  const refused: [fields: Fields, status: number, detail: string][] = [
    [{ steps: 21 }, 400, 'steps is 21; the generator full takes at most 20.'],
    [{ guidance: 10.5 }, 400, 'guidance is 10.5; the generator full takes at most 10.'],
    [{ width: 52 }, 422, 'width is 52; this model makes 32 to 48'],
    [{ width: 48, height: 48 }, 422, 'at most 2000 are made'],
    [{ model: 'no-base' }, 422, 'The generator no-base cannot be used: no-base.generator.json: base is missing.'],
    [{ model: 'base-broken' }, 422, 'The generator base-broken cannot be used: its base broken cannot run: '],
    [{ model: 'nowhere' }, 404, 'there are: a; generators: full, plain.'],
  ];
  for (const [fields, status, detail] of refused) {
    await t.test(`refuse ${JSON.stringify(fields)}`, async (t) => {
      const { status: answered, body } = await dryRun({ model: 'full', ...fields });
      t.equal(answered, status);
      t.match(body.detail, detail);
    });
  }

  await t.test('and models of a name that is longer than any are refused in a few words', async (t) => {
    const paths: Readonly<Record<string, (model: string) => object>> = {
      '/img2img': (model) => ({ image, model }),
      '/img2img/sheet': (x) => ({ image, x_field: 'model', x_values: [x] }),
      '/v1/images/edits': (model) => ({
        images: [{ image_url: `data:image/png;base64,${image}` }],
        prompt: 'x',
        model,
      }),
      '/sdapi/v1/img2img': (name) => ({ init_images: [image], override_settings: { sd_model_checkpoint: name } }),
    };
    for (const [path, body] of Object.entries(paths)) {
      for (const [length, status] of [
        [100_000, 400],
        [500, 404],
      ] as const) {
        const answer = await post(path, body('\u{1}'.repeat(length)));
        t.equal(answer.status, status, `${path}, ${length} characters`);
        const told = JSON.stringify(answer.body).length;
        t.ok(told < 8000, `${path}, ${length} characters: ${told}`);
      }
    }
  });

  await t.test('run, and tell which model did', async (t) => {
    const body = form(cottage, { model: 'full', prompt: 'a cat', width: 32, height: 32, steps: 2, seed: 1 });
    const answer = await fetch(`${url}/img2img`, { method: 'POST', headers: { accept: 'application/json' }, body });
    t.equal(answer.headers.get('img2img-model'), 'full');
    t.equal(answer.headers.get('img2img-base-model'), 'a');
    t.equal(answer.headers.get('img2img-prompt'), null, 'prompts are in no header');
    const whole = { prompt: 'ink drawing of a cat, dark', negative_prompt: 'blurry', base_model: 'a' };
    const made = (await answer.json()) as { model: string; parameters: object; images: { b64_json: string }[] };
    t.match(made, { model: 'full', parameters: whole });
    const same = form(cottage, {
      ...{
        model: 'a',
        prompt: whole.prompt,
        negative_prompt: 'blurry',
        influence: 40,
        guidance: 9,
        scheduler: 'euler',
      },
      ...{ width: 32, height: 32, steps: 2, seed: 1 },
    });
    const plain = await fetch(`${url}/img2img`, {
      method: 'POST',
      headers: { accept: 'application/json' },
      body: same,
    });
    const { images } = (await plain.json()) as typeof made;
    t.equal(made.images[0]!.b64_json, images[0]!.b64_json, 'as the model does it with the same values');
  });

  await t.test('are models to clients of OpenAI', async (t) => {
    const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
    t.strictSame(
      data.map(({ id }) => id),
      ['a', 'full', 'plain', 'gpt-image-1'],
    );
    const edit = {
      images: [{ image_url: `data:image/png;base64,${image}` }],
      prompt: 'a cat',
      size: '32x32',
      steps: 2,
    };
    for (const model of ['full', 'gpt-image-1']) {
      const { status, headers } = await post('/v1/images/edits', { ...edit, model });
      t.equal(status, 200);
      t.equal(headers.get('img2img-model'), 'full', model);
      t.equal(headers.get('img2img-influence'), '40');
    }
    const high = await post('/v1/images/edits', { ...edit, model: 'full', steps: undefined, quality: 'high' });
    t.equal(high.headers.get('img2img-steps'), '20', 'twice its 12 steps, within its limit of 20');
    const { status, body } = await post('/v1/images/edits', { ...edit, model: 'full', steps: 21 });
    t.equal(status, 400);
    t.match(body, { error: { message: 'steps is 21; the generator full takes at most 20.', param: 'steps' } });
  });

  await t.test("are checkpoints to clients of AUTOMATIC1111's web UI", async (t) => {
    const listed = (await (await fetch(`${url}/sdapi/v1/sd-models`)).json()) as { model_name: string; title: string }[];
    t.strictSame(
      listed.map(({ model_name }) => model_name),
      ['a', 'full', 'plain'],
    );
    const ask = async (fields: object) => {
      const { status, body } = await post('/sdapi/v1/img2img', {
        ...{ init_images: [image], prompt: 'a cat', negative_prompt: '', width: 32, height: 32, seed: 1 },
        override_settings: { sd_model_checkpoint: listed[1]!.title },
        ...fields,
      });
      return { status, body, info: JSON.parse(String(body.info ?? '{}')) as Record<string, unknown> };
    };
    t.match((await ask({})).info, {
      prompt: 'ink drawing of a cat, dark',
      negative_prompt: 'blurry',
      ...{ steps: 12, cfg_scale: 9, denoising_strength: 0.6, sampler_name: 'Euler', sd_model_name: 'full' },
    });
    const own = { steps: 2, cfg_scale: 3, denoising_strength: 0.5, sampler_name: 'DDIM', negative_prompt: 'bright' };
    t.match((await ask(own)).info, own);
    const { status, body } = await ask({ cfg_scale: 11 });
    t.equal(status, 400);
    t.equal(body.detail, 'cfg_scale is 11; the generator full takes at most 10.');
    const usual = await ask({ steps: 2, override_settings: { sd_model_checkpoint: 'plain' } });
    t.match(usual.info, { cfg_scale: 7, denoising_strength: 0.75 }, "what a generator leaves open is the web UI's");
  });
});

t.test('what ran is told in headers too, whatever characters its names have', async (t) => {
  const modelsDir = t.testdir({ embeddings: {} });
  symlinkSync(tiny, join(modelsDir, '模型'));
  write(modelsDir, 'č, 50 %', { base: '模型' });
  const data = new Uint8Array(new Float32Array(16).fill(1).buffer);
  const vectors = { '<new>': { dtype: 'F32', shape: [16], data } };
  for (const name of ['ink', 'old wash']) writeSafetensors(join(modelsDir, `embeddings/${name}.safetensors`), vectors);
  const { url } = await startApp(t, { MODELS_DIR: modelsDir });
  const fields = { model: 'č, 50 %', prompt: 'red, ink, old wash', width: 32, height: 32, steps: 2, seed: 1 };
  const ask = (accept: string) =>
    fetch(`${url}/img2img`, { method: 'POST', headers: { accept }, body: form(cottage, fields) });
  const { parameters } = (await (await ask('application/json')).json()) as { parameters: Record<string, unknown> };
  t.match(parameters, { model: 'č, 50 %', base_model: '模型', embeddings: 'ink, old wash' });
  const { status, headers } = await ask('image/png');
  t.equal(status, 200);
  for (const [name, value] of Object.entries(parameters)) {
    if (/prompt$/.test(name)) continue; // in no header
    const told = headers.get(`img2img-${name.replaceAll('_', '-')}`) ?? '';
    t.match(told, /^[ -~]+$/, name);
    t.equal(decodeURIComponent(told), String(value), name);
  }
});

t.test("a generator's LoRAs are taken where a request names none", async (t) => {
  const loras = [{ name: 'soft', scale: 0.5 }];
  const generator = { name: 'g', base: 'a', defaults: {}, limits: {}, digest: '', loras };
  const choice = { name: 'g', model: {} as Choice['model'], generator };
  t.strictSame(throughGenerator({}, choice).lora, loras);
  t.equal(throughGenerator({ lora: 'other:1' }, choice).lora, 'other:1');
  const { loras: _, ...bare } = generator;
  t.equal(throughGenerator({}, { ...choice, generator: bare }).lora, undefined);
});

t.test('files are looked at again: what comes, changes, goes, and a picture that comes later', async (t) => {
  const modelsDir = t.testdir();
  const faults: string[] = [];
  const files = new GeneratorFiles(modelsDir, ({ reason }) => faults.push(reason));
  const look = async () => {
    await files.look();
    return files.found.map((one) => ('reason' in one ? one.reason : `${one.name}: ${one.title}`));
  };
  t.strictSame(await look(), []);
  write(modelsDir, 'one', { base: 'a', title: 'first' });
  t.strictSame(await look(), ['one: first']);
  const [before] = files.found;
  await look();
  t.equal(files.found[0], before, 'what did not change is not read again');
  write(modelsDir, 'one', { base: 'a', title: 'second one' });
  t.strictSame(await look(), ['one: second one']);
  write(modelsDir, 'one', { base: 'a', title: 'third', picture: 'p.png' });
  t.strictSame(await look(), ['p.png is missing']);
  await look();
  t.strictSame(faults, ['p.png is missing'], 'a fault is told once');
  writeFileSync(join(modelsDir, 'p.png'), 'a picture');
  t.strictSame(await look(), ['one: third']);
  mkdirSync(join(modelsDir, 'folder.generator.json'));
  write(modelsDir, '.hidden', { base: 'a' });
  t.match(await look(), [/folder\.generator\.json is not a file/, 'one: third']);
  rmSync(join(modelsDir, 'one.generator.json'));
  rmSync(join(modelsDir, 'folder.generator.json'), { recursive: true });
  t.strictSame(await look(), []);
  rmSync(modelsDir, { recursive: true });
  t.strictSame(await look(), []);
});

t.test('a hundred generators load nothing', async (t) => {
  const modelsDir = t.testdir();
  for (const name of ['a', 'b']) symlinkSync(tiny, join(modelsDir, name));
  for (let i = 0; i < 100; i++) write(modelsDir, `g${i}`, { base: 'b', prompt_prefix: `${i} ` });
  const { url, engine } = await startApp(t, { MODELS_DIR: modelsDir });
  const { models } = (await (await fetch(`${url}/models`)).json()) as { models: { loaded: boolean }[] };
  t.equal(models.length, 102);
  const loaded = () => engine.models.filter((model) => model.runnable && model.loaded).map(({ name }) => name);
  t.strictSame([models.filter((model) => model.loaded).length, loaded()], [1, ['a']]);
  for (const model of ['g3', 'g77']) {
    const body = form(cottage, { model, steps: 1, width: 32, height: 32 });
    t.equal((await fetch(`${url}/img2img`, { method: 'POST', body })).status, 200);
  }
  t.strictSame(loaded(), ['a', 'b'], 'they share their base');
});

t.test('the shipped LoRA prints paintbox in two inks', async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: `${process.cwd()}/models` });
  const means = async (fields: Fields) => {
    const answer = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { seed: 7, ...fields }) });
    t.equal(answer.status, 200);
    const { channels } = await sharp(Buffer.from(await answer.arrayBuffer())).stats();
    return { loras: answer.headers.get('img2img-loras'), of: channels.map(({ mean }) => mean) };
  };
  const without = await means({ model: 'paintbox', prompt: 'risograph', influence: 20 });
  t.equal(without.loras, null);
  t.ok(without.of[1]! > without.of[0]!, `a green meadow under a blue sky: ${without.of}`);
  const printed = await means({ model: 'paintbox-risograph' });
  t.match(printed.loras, /^risograph:1\.3/);
  const [red, green, blue] = printed.of as [number, number, number];
  t.ok(red > green && blue > green, `pink and blue: ${printed.of}`);
  const redder = red - green - (without.of[0]! - without.of[1]!);
  t.ok(redder > 20, `${redder} redder than without`);
});

t.test('the shipped ones show a small picture', async (t) => {
  const folder = `${process.cwd()}/models`;
  const names = readdirSync(folder).filter((name) => name.endsWith('.generator.json'));
  t.ok(names.length >= 3);
  for (const name of names) {
    const { picture } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    const bytes = readFileSync(join(folder, picture));
    const { format, width, height } = await sharp(bytes).metadata();
    t.strictSame([format, width, height], ['webp', 256, 256], name);
    t.ok(bytes.length < 30_000, `${name}: ${bytes.length} bytes`);
  }
});
