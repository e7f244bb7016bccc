// What clients get of pictures that a safety checker flags, on every path: told (flag), kept back (block), or neither (off).

import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import t, { type Test } from 'tap';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { flaggedOf } from '../../src/pipeline/safety/check-pictures.js';
import type { Pixels } from '../../src/pixels.js';
import { checkedFolder, setThreshold } from '../pipeline/checked-folder.js';
import { cottage, events, form, startApp } from '../start.js';

interface Image {
  readonly b64_json: string | null;
  readonly seed: number;
  readonly flagged?: boolean;
}
interface Made {
  readonly images: readonly Image[];
  readonly warnings: readonly { code: string }[];
}

const modelsDir = t.testdir();
const same = { prompt: 'x', steps: 2, strength: 1, seed: 7 };
const quick = { ...same, width: 32, height: 32 };
const json = { accept: 'application/json' };
const starter = cottage.toString('base64');

setThreshold(checkedFolder(join(modelsDir, 'all')), -2);
setThreshold(checkedFolder(join(modelsDir, 'none')), 2);
checkedFolder(join(modelsDir, 'some'));
cpSync('test/reference/tiny', join(modelsDir, 'unchecked'), { recursive: true });
writeFileSync(join(checkedFolder(join(modelsDir, 'broken')), 'safety_checker', 'config.json'), '{');

async function start(t: Test, mode: string) {
  const { url } = await startApp(t, {
    MODELS_DIR: modelsDir,
    DEFAULT_MODEL: 'all',
    SAFETY_CHECKER: mode,
    THREADS: '1',
  });
  const post = (path: string, fields: Record<string, string | number>, headers: Record<string, string> = {}) =>
    fetch(`${url}${path}`, { method: 'POST', body: form(cottage, fields), headers });
  const postJson = (path: string, body: object) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    });
  const make = async (fields: Record<string, string | number>) => {
    const response = await post('/img2img', { ...quick, ...fields }, json);
    const { images, warnings } = (await response.json()) as Made;
    return { status: response.status, images, warnings, flagged: response.headers.get('img2img-flagged') };
  };
  const model = async (name: string) =>
    (await (await fetch(`${url}/models/${name}`)).json()) as Record<string, unknown>;
  return { url, post, postJson, make, model };
}

async function pixelsOf(base64: string | null | undefined): Promise<Pixels> {
  const image = sharp(Buffer.from(base64!, 'base64')).removeAlpha().raw();
  const { data, info } = await image.toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}
const isBlack = ({ data }: Pixels) => data.every((value) => value === 0);
const warned = ({ warnings }: Made) => warnings.map(({ code }) => code);

/** Of four pictures of the model `some`; its threshold is set so that they differ. */
let expected: boolean[] = [];
let unblocked: readonly Image[] = [];

t.test('off: nothing is asked, and a broken checker stops nothing', async (t) => {
  const { make, model } = await start(t, 'off');
  const { images, flagged } = await make({ model: 'some', n: 4 });
  t.equal(flagged, null);
  t.ok(images.every((image) => !('flagged' in image)));
  t.match(await model('some'), { safety_checker: true, runnable: true });
  t.match(await model('unchecked'), { safety_checker: false, runnable: true });
  t.notMatch(await model('some'), { parts: [{ part: 'safety_checker' }] });
  t.equal((await make({ model: 'broken' })).status, 200);

  unblocked = images;
  const pictures = await Promise.all(images.map(({ b64_json }) => pixelsOf(b64_json)));
  const path = join(modelsDir, 'some');
  const device = { provider: 'cpu', threads: 1, cacheDir: join(modelsDir, '.cache') } as const;
  for (let [low, high] = [-1, 1]; new Set(expected).size < 2 && high - low > 1e-4; ) {
    const middle = (low + high) / 2;
    setThreshold(path, middle);
    const loaded = await loadModel(path, device, undefined, 'flag');
    expected = await flaggedOf(loaded.folder.safetyChecker!, loaded.sessions.safety_checker!, pictures);
    await releaseModel(loaded);
    if (expected[0]) low = middle;
    else high = middle;
  }
  t.equal(new Set(expected).size, 2, 'some of the pictures are flagged, and some not');
});

const listed = () => expected.flatMap((flagged, i) => (flagged ? [i] : []));

t.test('flag: pictures are answered, and those that are flagged are told', async (t) => {
  const { url, post, postJson, make, model } = await start(t, 'flag');

  await t.test('of four pictures each has its verdict', async (t) => {
    const { images, flagged, warnings } = await make({ model: 'some', n: 4 });
    t.strictSame(
      images.map((image) => image.flagged),
      expected,
    );
    t.equal(flagged, listed().join(','));
    t.strictSame(
      images.map(({ b64_json }) => b64_json),
      unblocked.map(({ b64_json }) => b64_json),
      'the same pictures',
    );
    t.strictSame(warnings, []);
  });

  await t.test('a picture alone has it in the header, and its time in Server-Timing', async (t) => {
    const response = await post('/img2img', { ...quick, model: 'all' });
    t.equal(response.headers.get('content-type'), 'image/png');
    t.equal(response.headers.get('img2img-flagged'), '0');
    t.match(response.headers.get('server-timing'), /safety_check;dur=\d/);
    const { images, flagged } = await make({ model: 'none' });
    t.equal(flagged, null);
    t.equal(images[0]!.flagged, false);
  });

  await t.test('a model that has none runs with a warning, in a dry run too', async (t) => {
    for (const dry_run of ['false', 'true']) {
      const made = await make({ model: 'unchecked', dry_run });
      t.equal(made.status, 200);
      t.strictSame(warned(made), ['safety_unchecked']);
      t.notOk('flagged' in made.images[0]!);
    }
    t.match(await model('unchecked'), { safety_checker: false });
    const { parts } = await model('all');
    t.match((parts as object[]).at(-1), { part: 'safety_checker', format: 'safetensors', computes: 'fp32' });
    t.match(await model('broken'), { runnable: false, reason: 'safety_checker/config.json is not a JSON object' });
  });

  await t.test('the other paths, sheets and events tell it too', async (t) => {
    const edits = await post('/v1/images/edits', { prompt: 'x', steps: 1, size: '32x32', model: 'all' });
    t.equal(edits.headers.get('img2img-flagged'), '0');
    const webui = await postJson('/sdapi/v1/img2img', {
      ...{ init_images: [starter], steps: 2, width: 32, height: 32 },
      override_settings: { sd_model_checkpoint: 'all' },
    });
    const { images, info } = (await webui.json()) as { images: string[]; info: string };
    t.strictSame(JSON.parse(info).flagged, [0]);
    t.notOk(isBlack(await pixelsOf(images[0])));
    const sheet = await post('/img2img/sheet', { prompt: 'x', steps: 2, x_field: 'model', x_values: 'none|all' });
    t.equal(sheet.headers.get('img2img-flagged'), '1');
    const stream = await post('/img2img', { ...quick, model: 'all', preview: 'true' }, { accept: 'text/event-stream' });
    const told = events(await stream.text());
    t.ok(told.some(({ data }) => data.preview));
    t.match(told.find(({ event }) => event === 'image')!.data, { flagged: true });
  });

  const metrics = await (await fetch(`${url}/metrics`)).text();
  t.match(metrics, new RegExp(`^img2img_flagged_images_total\\{model="some"\\} ${listed().length}$`, 'm'));
  t.match(metrics, /^img2img_flagged_images_total\{model="none"\} 0$/m);
});

t.test('block: pictures that are flagged are kept back', async (t) => {
  const { url, post, postJson, make, model } = await start(t, 'block');
  const blocked = { code: 'content_blocked', status: 422 };

  await t.test('a model that cannot be checked does not run', async (t) => {
    const reason = 'it has no safety checker, and SAFETY_CHECKER is block';
    t.match(await model('unchecked'), { runnable: false, reason });
    const refused = await post('/img2img', { ...quick, model: 'unchecked' });
    t.match(await refused.json(), { code: 'model_not_runnable', detail: `The model unchecked cannot run: ${reason}.` });
  });

  await t.test('one picture is a problem, and of several each has its entry', async (t) => {
    const alone = await post('/img2img', { ...quick, model: 'all' });
    t.equal(alone.status, 422);
    t.match(await alone.json(), { ...blocked, detail: /flagged the picture,/ });
    const none = await post('/img2img', { ...quick, model: 'all', n: 2 });
    t.match(await none.json(), { ...blocked, detail: /flagged all 2 pictures/ });
    const { images, flagged } = await make({ model: 'some', n: 4 });
    t.equal(flagged, listed().join(','));
    t.strictSame(
      images,
      unblocked.map((image, i) => ({ ...image, b64_json: expected[i] ? null : image.b64_json, flagged: expected[i] })),
    );
  });

  await t.test('events show nothing of them before', async (t) => {
    const stream = { accept: 'text/event-stream' };
    const fields = { ...quick, preview: 'true' };
    const alone = events(await (await post('/img2img', { ...fields, model: 'all' }, stream)).text());
    t.match(alone.at(-1), { event: 'error', data: blocked });
    const several = events(await (await post('/img2img', { ...fields, model: 'some', n: 4 }, stream)).text());
    for (const told of [alone, several]) {
      t.ok(told.some(({ event }) => event === 'step'));
      t.notOk(
        told.some(({ data }) => data.preview),
        'no preview',
      );
    }
    const images = several.filter(({ event }) => event === 'image').map(({ data }) => data);
    t.strictSame(
      images.map(({ b64_json }) => b64_json === null),
      expected,
    );
    t.match(several.at(-1)!.data, { warnings: [{ code: 'preview_unused' }] });
  });

  await t.test('a sheet has black in their places, and null in JSON', async (t) => {
    const fields = { prompt: 'x', steps: 2, x_field: 'model', x_values: 'none|all' };
    const { cells } = (await (await post('/img2img/sheet', fields, json)).json()) as { cells: Image[] };
    t.match(cells, [{ flagged: false }, { flagged: true, b64_json: null }]);
    t.type(cells[0]!.b64_json, 'string');
    const sheet = await post('/img2img/sheet', fields);
    t.equal(sheet.headers.get('img2img-flagged'), '1');
    const bytes = Buffer.from(await sheet.arrayBuffer()).toString('base64');
    const { data, width, height } = await pixelsOf(bytes);
    const row = (y: number) => data.subarray(3 * y * width, 3 * (y + 1) * width);
    const blackIn = (line: Uint8Array) => line.reduce((sum, value) => sum + Number(value === 0), 0) / 3;
    t.ok(Math.max(...Array.from({ length: height }, (_, y) => blackIn(row(y)))) >= 32, 'a black square');
    const all = await post('/img2img/sheet', { ...fields, x_field: 'seed', x_values: '1|2' });
    t.match(await all.json(), blocked);
  });

  await t.test("/v1 leaves them out, and has OpenAI's error where none is left", async (t) => {
    const fields = { prompt: 'x', steps: 2, size: '32x32' };
    const refused = await post('/v1/images/edits', { ...fields, model: 'all' });
    t.equal(refused.status, 422);
    const error = { type: 'image_generation_user_error', code: 'moderation_blocked', param: null };
    t.match(await refused.json(), { error });
    const mixed = await post('/v1/images/edits', { ...fields, ...same, model: 'some', n: 4 });
    const { data } = (await mixed.json()) as { data: Image[] };
    t.strictSame(
      data.map(({ seed }) => seed),
      unblocked.filter((_, i) => !expected[i]).map(({ seed }) => seed),
    );
    const stream = await post('/v1/images/edits', { ...fields, model: 'all', stream: 'true', partial_images: 2 });
    const told = events(await stream.text());
    t.match(told.at(-1), { event: 'error', data: { error } });
    t.equal(told.length, 1, 'no partial image');
  });

  await t.test('/sdapi has black pictures, as its clients want one in every place', async (t) => {
    const body = { init_images: [starter], steps: 2, width: 32, height: 32 };
    const ask = async (name: string) => {
      const response = await postJson('/sdapi/v1/img2img', {
        ...body,
        override_settings: { sd_model_checkpoint: name },
      });
      t.equal(response.status, 200);
      const { images, info } = (await response.json()) as { images: string[]; info: string };
      return { black: isBlack(await pixelsOf(images[0])), flagged: JSON.parse(info).flagged };
    };
    t.strictSame(await ask('all'), { black: true, flagged: [0] });
    t.strictSame(await ask('none'), { black: false, flagged: undefined });
  });

  await t.test('a starter that comes back untouched was not made, and is not checked', async (t) => {
    const body = form(cottage, { ...quick, model: 'all' });
    const mask = await sharp(cottage).linear(0, 0).png().toBuffer();
    body.append('mask', new Blob([mask]), 'mask.png');
    const response = await fetch(`${url}/img2img`, { method: 'POST', body });
    t.equal(response.status, 200);
    t.equal(response.headers.get('img2img-flagged'), null);
    t.match(response.headers.get('img2img-warnings'), /mask_empty/);
  });
});
