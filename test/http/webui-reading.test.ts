// What clients of the web UI send, in all the ways in which its models read it; and the lists that they ask for at connect.

import sharp from 'sharp';
import t from 'tap';
import { readConfig } from '../../src/config.js';
import { asksFor, webuiBody } from '../../src/http/webui/fields.js';
import { type Readable, read, readBody } from '../../src/http/webui/reading.js';
import { cottage, startApp } from '../start.js';

const starter = cottage.toString('base64');
const quick = { init_images: [starter], steps: 2, width: 32, height: 32, seed: 7 };

t.test('values are read by their type', async (t) => {
  for (const [type, sent, expected] of [
    ['integer', '5', 5],
    ['integer', ' 5 ', 5],
    ['integer', '5.0', 5],
    ['integer', '-1', -1],
    ['integer', '5.5', 5.5],
    ['integer', true, 1],
    ['integer', 'five', 'five'],
    ['integer', '0x10', '0x10'],
    ['number', '0.5', 0.5],
    ['number', '.5', 0.5],
    ['number', '1e-1', 0.1],
    ['number', '1e999', '1e999'],
    ['number', 'NaN', 'NaN'],
    ['number', false, 0],
    ['number', `${'1'.repeat(50)}`, '1'.repeat(50)],
    ['boolean', 'true', true],
    ['boolean', 'True', true],
    ['boolean', 'ON', true],
    ['boolean', 'yes', true],
    ['boolean', '1', true],
    ['boolean', 1, true],
    ['boolean', 0, false],
    ['boolean', 'f', false],
    ['boolean', 'off', false],
    ['boolean', 2, 2],
    ['boolean', 'maybe', 'maybe'],
    ['string', 5, '5'],
    ['string', 'a', 'a'],
    ['string', true, true],
    ['array', 'a', 'a'],
    ['array', ['a', '', null], ['a']],
    ['object', [], undefined],
    ['object', [1], [1]],
    ['object', { a: null, b: '', c: { d: null } }, { c: { d: null } }],
    ...['integer', 'number', 'boolean', 'string', 'array', 'object', undefined].flatMap((type) => [
      [type, null, undefined] as const,
      [type, '', undefined] as const,
    ]),
  ] as const) {
    const schema = { ...(type && { type }), items: { type: 'string' } };
    t.strictSame(read(sent, schema), expected, `${type} ${JSON.stringify(sent)?.slice(0, 30)}`);
  }
});

t.test('every field of a request is read in every way', async (t) => {
  const schema = webuiBody(readConfig({ MODELS_DIR: 'models' }));
  const walk = (properties: Readonly<Record<string, Readable>>, wrap: (value: object) => object, path: string) => {
    for (const [name, field] of Object.entries(properties)) {
      const value = (sent: unknown) => {
        const whole = readBody(wrap({ [name]: sent }) as Record<string, unknown>, schema as Readable);
        return path.split('.').reduce<unknown>((of, key) => (key ? (of as Record<string, unknown>)?.[key] : of), whole);
      };
      const readAs = (sent: unknown) => (value(sent) as Record<string, unknown> | undefined)?.[name];
      const full = `${path}${name}`;
      t.equal(readAs(null), undefined, `${full}: null`);
      t.equal(readAs(''), undefined, `${full}: ''`);
      switch (field.type) {
        case 'integer':
        case 'number':
          t.strictSame([readAs('1'), readAs(1), readAs(true)], [1, 1, 1], full);
          break;
        case 'boolean':
          t.strictSame([readAs('false'), readAs('True'), readAs(0), readAs(1)], [false, true, false, true], full);
          break;
        case 'string':
          t.strictSame([readAs(12), readAs('a')], ['12', 'a'], full);
          break;
        case 'array':
          t.strictSame(readAs(['a', null]), ['a'], full);
          break;
        case 'object':
          t.equal(readAs([]), undefined, full);
          walk(field.properties ?? {}, (inner) => wrap({ [name]: inner }), `${full}.`);
          break;
        default:
          t.fail(`${full} has a type of its own: ${field.type}`);
      }
    }
  };
  walk(schema.properties as Readonly<Record<string, Readable>>, (value) => value, '');
});

t.test('a value that asks for nothing is one in any of its forms', async (t) => {
  for (const [value, nothing, asks] of [
    [false, [false], false],
    ['False', [false], false],
    [0, [false], false],
    ['0.0', [0], false],
    [true, [false], true],
    ['x', [], true],
    [[], [], false],
    [{}, [], false],
    [[1], [], true],
    ['Automatic', ['Automatic'], false],
  ] as const) {
    t.equal(asksFor(value, nothing), asks, JSON.stringify([value, nothing]));
  }
});

t.test('/sdapi/v1', async (t) => {
  const { url, engine } = await startApp(t, { MODELS_DIR: 'test/reference', API_KEYS: 'key' });
  const headers = { authorization: `Basic ${Buffer.from('u:key').toString('base64')}` };
  const get = (path: string) => fetch(`${url}/sdapi/v1/${path}`, { headers });
  const post = (path: string, body: unknown = {}) =>
    fetch(`${url}/sdapi/v1/${path}`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const picture = async (body: object) => {
    const response = await post('img2img', body);
    const { images } = (await response.json()) as { images: string[] };
    return { response, pixels: await sharp(Buffer.from(images[0]!, 'base64')).raw().toBuffer() };
  };

  await t.test('text and numbers make the same picture', async (t) => {
    const plain = { ...quick, denoising_strength: 0.5, cfg_scale: 2, resize_mode: 1, sampler_name: 'Euler', n_iter: 1 };
    const text = Object.fromEntries(
      Object.entries(plain).map(([name, value]) => [name, Array.isArray(value) ? value : String(value)]),
    );
    const absent = {
      mask: '',
      script_name: '',
      scheduler: '',
      sampler_index: null,
      alwayson_scripts: [],
      send_images: 'True',
      force_task_id: '',
      styles: null,
      override_settings: { sd_model_checkpoint: '', CLIP_stop_at_last_layers: '1', sd_vae: null },
      restore_faces: 'false',
      tiling: 0,
    };
    const first = await picture(plain);
    const second = await picture({ ...text, ...absent });
    t.strictSame(second.pixels, first.pixels);
    t.equal(second.response.headers.get('img2img-ignored-fields'), null);
  });

  await t.test('only what was sent is named as without effect', async (t) => {
    const mask = (await sharp(cottage).threshold().png().toBuffer()).toString('base64');
    for (const [body, ignored] of [
      [{}, null],
      [{ mask }, null],
      [{ mask, inpainting_fill: '1', inpaint_full_res: 'false' }, null],
      [{ mask, inpainting_fill: 0, inpaint_full_res: 1 }, 'inpainting_fill, inpaint_full_res'],
      [{ inpainting_fill: 0, inpaint_full_res: true }, null],
      [{ tiling: 'true', constructor: 1, toString: 'x' }, 'tiling, constructor, toString'],
      [
        { override_settings: { sd_vae: 'other', constructor: 1 } },
        'override_settings.sd_vae, override_settings.constructor',
      ],
    ] as const) {
      const response = await post('img2img', { ...quick, ...body });
      t.equal(response.status, 200);
      t.equal(response.headers.get('img2img-ignored-fields'), ignored, JSON.stringify(body).slice(0, 80));
    }
  });

  for (const [seed, ran, isTold] of [
    [7, 7, false],
    [2 ** 32 - 1, 2 ** 32 - 1, false],
    [2 ** 32, 0, true],
    [2 ** 32 + 7, 7, true],
    ['4294967303', 7, true],
    [-2, 2 ** 32 - 2, true],
    [Number.MAX_SAFE_INTEGER, 2 ** 32 - 1, true],
  ] as const) {
    await t.test(`the seed ${seed} is ${ran}`, async (t) => {
      const response = await post('img2img', { ...quick, seed });
      t.equal(response.headers.get('img2img-seed'), String(ran));
      t.equal(/seed_wrapped/.test(response.headers.get('img2img-warnings') ?? ''), isTold);
      const { info } = (await response.json()) as { info: string };
      t.equal(JSON.parse(info).seed, ran);
    });
  }

  await t.test('-1, in any form, draws', async (t) => {
    const seeds = [];
    for (const seed of [-1, '-1', null, '', undefined]) {
      const { headers } = await post('img2img', { ...quick, seed });
      seeds.push(headers.get('img2img-seed'));
      t.notMatch(headers.get('img2img-warnings'), /seed_wrapped/);
    }
    t.ok(new Set(seeds).size > 1);
  });

  for (const [body, field] of [
    [{ steps: 'many' }, 'steps'],
    [{ steps: '151' }, 'steps'],
    [{ steps: 2.5 }, 'steps'],
    [{ denoising_strength: '2' }, 'denoising_strength'],
    [{ cfg_scale: '31' }, 'cfg_scale'],
    [{ seed: 1e20 }, 'seed'],
    [{ batch_size: '9' }, 'batch_size'],
    [{ batch_size: '3', n_iter: '3' }, 'n_iter'],
    [{ send_images: 'maybe' }, 'send_images'],
    [{ init_images: [''] }, 'init_images'],
    [{ init_images: null }, 'init_images'],
    [{ width: 0 }, 'width'],
  ] as const) {
    await t.test(`${JSON.stringify(body)} is refused by its name`, async (t) => {
      const response = await post('img2img', { ...quick, ...body });
      t.equal(response.status, 400);
      const answer = (await response.json()) as { errors: string; detail: string };
      t.equal(answer.errors, field);
      t.match(answer.detail, new RegExp(`\\b${field}\\b`));
    });
  }

  await t.test("the core's sentences say the web UI's names", async (t) => {
    const unknown = await post('img2img', { ...quick, override_settings: { sd_model_checkpoint: 'other' } });
    t.equal(unknown.status, 404);
    t.match(await unknown.json(), { errors: 'override_settings.sd_model_checkpoint', detail: /"other"/ });
    const damaged = await post('img2img', { ...quick, init_images: ['AAAA'] });
    t.match(await damaged.json(), { error: 'unsupported_picture', errors: 'init_images' });
  });

  const none: unknown[] = [];
  for (const [path, expected] of Object.entries({
    upscalers: [{ name: 'None', model_name: null, model_path: null, model_url: null, scale: 1 }],
    'latent-upscale-modes': none,
    loras: none,
    'sd-vae': none,
    hypernetworks: none,
    'face-restorers': none,
    'realesrgan-models': none,
    'prompt-styles': none,
    embeddings: { loaded: {}, skipped: {} },
    scripts: { txt2img: [], img2img: [] },
    'script-info': none,
    extensions: none,
    'cmd-flags': { api: true, nowebui: true, api_server_stop: false, lowvram: false, medvram: false },
  })) {
    await t.test(`GET ${path}`, async (t) => {
      for (const slashes of [path, `${path}/`, `/${path}`]) {
        const response = await get(slashes);
        t.equal(response.status, 200, slashes);
        t.match(response.headers.get('content-type'), 'application/json');
        t.strictSame(await response.json(), expected);
      }
      t.equal((await fetch(`${url}/sdapi/v1/${path}`)).status, 401, 'with a key only');
    });
  }

  await t.test('GET memory', async (t) => {
    const { ram, cuda } = (await (await get('memory')).json()) as Record<string, Record<string, number>>;
    t.ok(ram!.used! > 0 && ram!.free! >= 0 && ram!.total! >= ram!.used!, JSON.stringify(ram));
    t.strictSame(cuda, { error: 'unavailable' });
  });

  for (const path of ['skip', 'refresh-checkpoints', 'refresh-vae', 'refresh-loras', 'refresh-embeddings']) {
    await t.test(`POST ${path}, with a body and without`, async (t) => {
      t.equal(await (await post(path)).json(), null);
      const bare = await fetch(`${url}/sdapi/v1/${path}`, { method: 'POST', headers });
      t.equal(bare.status, 200);
      t.equal(await bare.json(), null);
    });
  }

  await t.test('skip ends a request as interrupt does', async (t) => {
    const slow = { ...quick, steps: 150, denoising_strength: 1, batch_size: 8, force_task_id: 'slow' };
    const running = post('img2img', slow);
    let ended = false;
    running.finally(() => {
      ended = true;
    });
    let seen = 0;
    while (seen === 0 && !ended)
      seen = ((await (await get('progress?id_task=slow')).json()) as { progress: number }).progress;
    await post('skip?id_task=slow');
    const { images, info } = (await (await running).json()) as { images: string[]; info: string };
    t.strictSame(images, []);
    t.match(JSON.parse(info), { interrupted: true });
  });

  for (const [value, status] of [
    ['true', 200],
    ['True', 200],
    ['0', 200],
    ['', 200],
    ['maybe', 400],
  ] as const) {
    await t.test(`progress with skip_current_image=${value}`, async (t) => {
      t.equal((await get(`progress?skip_current_image=${value}&id_task=`)).status, status);
    });
  }

  await t.test('options that are there already can be set, in any form', async (t) => {
    const { name } = engine.model();
    const present = (await (await get('options')).json()) as Record<string, unknown>;
    t.match(present, {
      sd_model_checkpoint: new RegExp(`^${name} `),
      sd_vae: 'Automatic',
      CLIP_stop_at_last_layers: 1,
    });
    t.equal((await post('options', present)).status, 200);
    t.equal((await post('options', { CLIP_stop_at_last_layers: '1', sd_vae: null })).status, 200);
    t.equal((await post('options', { sd_vae: 'other' })).status, 400);
  });
});
