import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { writeSafetensors } from '../pipeline/safetensors/write.js';
import { cottage, startApp } from '../start.js';

const image = cottage.toString('base64');
const quick = { seed: 1, width: 32, height: 32 };

t.test('textual inversions are listed, and a model that cannot take them says so', async (t) => {
  const folder = t.testdir();
  const data = new Uint8Array(2 * 768 * 4);
  writeSafetensors(join(folder, 'inky.safetensors'), { emb_params: { dtype: 'F32', shape: [2, 768], data } });
  writeFileSync(join(folder, 'old.pt'), 'PK');
  const { url } = await startApp(t, { MODELS_DIR: 'test/reference', THREADS: '1', EMBEDDINGS_DIR: folder });
  const get = async (path: string) => (await fetch(`${url}${path}`)).json();
  t.match(await get('/embeddings'), {
    embeddings: [
      { name: 'inky', runnable: true, vectors: 2, widths: [768] },
      { name: 'old.pt', runnable: false, reason: /^it is a pickle/ },
    ],
  });
  t.strictSame(await get('/sdapi/v1/embeddings'), {
    loaded: { inky: { step: null, sd_checkpoint: null, sd_checkpoint_name: null, shape: 768, vectors: 2 } },
    skipped: {},
  });
  const response = await fetch(`${url}/img2img`, {
    method: 'POST',
    body: JSON.stringify({ image, ...quick, steps: 2, prompt: 'red, inky' }),
    headers: { 'content-type': 'application/json', accept: 'application/json' },
  });
  t.match(await response.json(), { warnings: [{ code: 'embedding_unused', detail: /Not used: inky\.$/ }] });

  const ones = new Uint8Array(new Float32Array(16).fill(1).buffer);
  writeSafetensors(join(folder, 'dropped.safetensors'), { '<new>': { dtype: 'F32', shape: [16], data: ones } });
  rmSync(join(folder, 'old.pt'));
  const used = await fetch(`${url}/img2img`, {
    method: 'POST',
    body: JSON.stringify({ image, ...quick, steps: 2, prompt: 'red, Dropped' }),
    headers: { 'content-type': 'application/json' },
  });
  t.equal(used.headers.get('img2img-embeddings'), 'dropped', 'used at once');
  t.notMatch(String(used.headers.get('img2img-warnings')), /embedding_unused/);
  while (JSON.stringify(await get('/embeddings')).includes('old.pt')) await setTimeout(50);
  t.match(await get('/embeddings'), { embeddings: [{ name: 'dropped', vectors: 1, widths: [16] }, { name: 'inky' }] });
});

t.test('how prompts are read', async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: 'test/reference', THREADS: '1' });
  const post = async (path: string, body: object) => {
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', accept: 'application/json' },
    });
    return { status: response.status, headers: response.headers, body: (await response.json()) as never };
  };
  const img2img = async (fields: object) => {
    const { body } = await post('/img2img', { image, ...quick, steps: 4, ...fields });
    const { images, parameters, warnings } = body as {
      images: { b64_json: string }[];
      parameters: Record<string, unknown>;
      warnings: { code: string }[];
    };
    return { picture: images[0]!.b64_json, parameters, codes: warnings.map(({ code }) => code) };
  };
  const v1 = async (fields: object) => {
    const path = '/v1/images/edits';
    const images = [{ image_url: `data:image/png;base64,${image}` }];
    const { body, headers } = await post(path, { images, size: '32x32', seed: 1, steps: 4, ...fields });
    return { picture: (body as { data: { b64_json: string }[] }).data[0]!.b64_json, headers };
  };
  const sdapi = async (fields: object) => {
    const webui = { init_images: [image], ...quick, steps: 4, resize_mode: 1, cfg_scale: 7.5, sampler_name: 'DDIM' };
    const { body, headers } = await post('/sdapi/v1/img2img', { ...webui, ...fields });
    return { picture: (body as { images: string[] }).images[0]!, headers };
  };
  const weights = 'a (red:1.6) [glass]';
  const many = 'red '.repeat(40);
  const same = { guidance: 7.5, scheduler: 'ddim' };
  const words = (await img2img({ ...same, prompt: weights })).picture;
  const weighted = (await img2img({ ...same, prompt: weights, prompt_syntax: 'weighted' })).picture;
  const cut = (await img2img({ ...same, prompt: many })).picture;
  const long = (await img2img({ ...same, prompt: many, long_prompts: true })).picture;

  await t.test('/img2img and /v1 read words and cut, unless they are asked', async (t) => {
    t.not(weighted, words);
    t.not(long, cut);
    const asked = { prompt_syntax: 'weighted', long_prompts: true };
    t.equal((await v1({ ...same, prompt: weights })).picture, words);
    t.equal((await v1({ ...same, prompt: weights, prompt_syntax: 'weighted' })).picture, weighted);
    t.equal((await v1({ ...same, prompt: many })).picture, cut);
    const { picture, headers } = await v1({ ...same, ...asked, prompt: many });
    t.equal(picture, long);
    t.equal(headers.get('img2img-prompt-syntax'), 'weighted');
    t.equal(headers.get('img2img-long-prompts'), 'true');
  });

  await t.test('/sdapi weighs and goes on, unless it is asked', async (t) => {
    t.equal((await sdapi({ prompt: weights })).picture, weighted);
    t.equal((await sdapi({ prompt: many })).picture, long);
    t.equal((await sdapi({ prompt: weights, prompt_syntax: 'plain' })).picture, words);
    const { picture, headers } = await sdapi({ prompt: many, long_prompts: false });
    t.equal(picture, cut);
    t.match(headers.get('img2img-warnings'), /prompt_truncated/);
  });

  await t.test('what ran is told', async (t) => {
    t.match((await img2img({ dry_run: true })).parameters, { prompt_syntax: 'plain', long_prompts: false });
  });

  for (const [prompt, fields, codes] of [
    ['a (red:1.3) [glass] \\(ink\\)', { prompt_syntax: 'weighted' }, []],
    ['a (red:1.3) glass', {}, ['prompt_syntax_unused']],
    ['red', { negative_prompt: '(blue:1.3)' }, ['prompt_syntax_unused']],
    ['red <lyco:style:0.8>', { prompt_syntax: 'weighted' }, ['prompt_syntax_unused']],
    ['[red:blue:0.5]', { prompt_syntax: 'weighted' }, ['prompt_syntax_unused']],
    ['red BREAK blue', { prompt_syntax: 'weighted' }, ['prompt_syntax_unused']],
    ['red BREAK blue', { prompt_syntax: 'weighted', long_prompts: true }, []],
    ['(red:12)', { prompt_syntax: 'weighted' }, ['prompt_weight_limited']],
    ['(red:12)', {}, ['prompt_syntax_unused']],
    [many, {}, ['prompt_truncated']],
    [many, { long_prompts: true }, []],
    ['red '.repeat(120), { long_prompts: true }, ['prompt_truncated']],
  ] as [string, object, string[]][]) {
    const name = `${JSON.stringify(prompt.slice(0, 40))} with ${JSON.stringify(fields)}`;
    await t.test(`${name}: ${codes.join(', ') || 'no warning'}`, async (t) => {
      t.strictSame((await img2img({ prompt, ...fields })).codes.filter((code) => code.includes('prompt_')), codes); // biome-ignore format: one line
    });
  }

  await t.test('another syntax is a 400 that names those that there are', async (t) => {
    for (const [path, body] of [
      ['/img2img', { image, prompt_syntax: 'compel' }],
      ['/sdapi/v1/img2img', { init_images: [image], prompt_syntax: 'compel' }],
    ] as const) {
      const { status, body: problem } = await post(path, body);
      t.equal(status, 400);
      t.match((problem as { detail: string }).detail, /prompt_syntax is "compel"; it must be one of plain, weighted/);
    }
  });
});
