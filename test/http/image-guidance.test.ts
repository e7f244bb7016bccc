// Models that edit by an instruction: what a request for one means, on every path.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import t from 'tap';
import { writeFolder } from '../pipeline/folders.js';
import { cottage, form, startApp } from '../start.js';

const modelsDir = t.testdir();
writeFolder(modelsDir, 'instruct-pix2pix', {}, 'edit');
writeFolder(modelsDir, 'sd', {}, 'plain');
const generators: Readonly<Record<string, object>> = {
  closer: { base: 'edit', defaults: { image_guidance: 2.4, steps: 3 } },
  'by-influence': { base: 'edit', defaults: { influence: 80 } },
  'no-use': { base: 'plain', defaults: { image_guidance: 2 } },
  'two-names': { base: 'edit', defaults: { image_guidance: 2, influence: 50 } },
};
for (const [name, settings] of Object.entries(generators)) {
  writeFileSync(join(modelsDir, `${name}.generator.json`), JSON.stringify(settings));
}

type Fields = Record<string, string | number>;
const quick = { model: 'edit', prompt: 'make it blue ink', steps: 3, seed: 7, width: 32, height: 32 };
const mask = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'white' } })
  .composite([{ input: { create: { width: 32, height: 64, channels: 3, background: 'black' } }, left: 0, top: 0 }])
  .png()
  .toBuffer();

t.test('image guidance', async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: modelsDir, THREADS: '1', DEFAULT_MODEL: 'plain' });
  const post = (fields: Fields, path = 'img2img', accept = '*/*') =>
    fetch(`${url}/${path}`, { method: 'POST', body: form(cottage, fields), headers: { accept } });
  const json = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json' };
    return fetch(`${url}/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  };
  const bytes = async (fields: Fields) => Buffer.from(await (await post(fields)).arrayBuffer());
  const told = (response: Response) =>
    Object.fromEntries(
      ['image-guidance', 'influence', 'strength', 'steps-run', 'unet-calls', 'warnings'].map((name) => [
        name,
        response.headers.get(`img2img-${name}`),
      ]),
    );

  await t.test('what is sent, and what it comes to', async (t) => {
    const cases: [sent: Fields, imageGuidance: string, influence: string | null, warnings?: string][] = [
      [{}, '1.5', null],
      [{ image_guidance: 2.25 }, '2.25', null],
      [{ influence: 0 }, '1', '0'],
      [{ influence: 25 }, '1.5', '25'],
      [{ influence: 30 }, '1.6', '30'],
      [{ influence: 75 }, '2.5', '75'],
      [{ influence: 100 }, '3', '100'],
      [{ strength: 1 }, '1', '0'],
      [{ strength: 0.7 }, '1.6', '30'],
      [{ strength: 0 }, '3', '100'],
      [{ image_guidance: 0.5 }, '0.5', null, 'guidance_unused'],
      [{ image_guidance: 2, guidance: 1 }, '2', null, 'guidance_unused'],
      [{ guidance: 1 }, '1.5', null],
      [{ guidance: 1, negative_prompt: 'red' }, '1.5', null, 'negative_prompt_unused'],
    ];
    for (const [sent, imageGuidance, influence, warnings = null] of cases) {
      const response = await post({ ...quick, ...sent });
      t.equal(response.status, 200);
      t.strictSame(
        told(response),
        { 'image-guidance': imageGuidance, influence, strength: null, 'steps-run': '3', 'unet-calls': '3', warnings },
        JSON.stringify(sent),
      );
    }
    const usual = await bytes(quick);
    for (const same of [{ image_guidance: 1.5 }, { influence: 25 }, { strength: 0.75 }]) {
      t.ok((await bytes({ ...quick, ...same })).equals(usual), `${JSON.stringify(same)} is the default`);
    }
    t.notOk((await bytes({ ...quick, influence: 26 })).equals(usual));
    const { xmp } = await sharp(usual).metadata();
    t.match(xmp?.toString(), 'compositeWithTrainedAlgorithmicMedia', 'the starter is in it, whatever the noise');
  });

  await t.test('influence 0 to 100 ties more and more to the starter, by image guidance', async (t) => {
    const sent = Array.from({ length: 101 }, (_, influence) => influence);
    const used: number[] = [];
    for (const influence of sent) {
      const dry = await post({ ...quick, influence, dry_run: 'true' });
      used.push(((await dry.json()) as { parameters: { image_guidance: number } }).parameters.image_guidance);
    }
    t.ok(used.every((value, i) => i === 0 || value > used[i - 1]!));
    t.strictSame([used[0], used[25], used[100]], [1, 1.5, 3]);
  });

  await t.test('a dry run tells all steps, and what it was settled to', async (t) => {
    const dry = await post({ ...quick, dry_run: 'true', steps: 9 });
    const { parameters, warnings } = (await dry.json()) as { parameters: object; warnings: unknown[] };
    t.match(parameters, { steps: 9, steps_run: 9, unet_calls: 9, image_guidance: 1.5, guidance: 7.5 });
    t.notOk('influence' in parameters || 'strength' in parameters);
    t.strictSame(warnings, []);
  });

  await t.test('two names of one thing are refused, whatever the model', async (t) => {
    for (const model of ['edit', 'plain']) {
      for (const other of ['influence', 'strength']) {
        const response = await post({ ...quick, model, image_guidance: 2, [other]: 0.5 });
        t.equal(response.status, 400);
        const { errors, detail } = (await response.json()) as { errors: { pointer: string }[]; detail: string };
        t.strictSame(
          errors.map(({ pointer }) => pointer),
          ['#/image_guidance', `#/${other}`],
        );
        t.match(detail, new RegExp(`image_guidance and ${other}`));
      }
    }
    t.match(await (await post({ ...quick, image_guidance: 30.5 })).json(), { status: 400, code: 'invalid_request' });
  });

  await t.test('a model that takes none says so, and keeps its influence of 25', async (t) => {
    const response = await post({ ...quick, model: 'plain', image_guidance: 2 });
    t.match(told(response), {
      'image-guidance': null,
      influence: '25',
      strength: '0.75',
      'steps-run': '2',
      warnings: 'image_guidance_unused',
    });
  });

  await t.test('a mask is refused: there is no inpainting with it', async (t) => {
    const body = form(cottage, quick);
    body.append('mask', new Blob([mask]), 'mask.png');
    const response = await fetch(`${url}/img2img`, { method: 'POST', body });
    t.match(await response.json(), {
      status: 422,
      code: 'unsupported_combination',
      errors: [{ pointer: '#/mask', detail: /edit is of the kind instruct-pix2pix, which repaints all of it\.$/ }],
    });
  });

  await t.test('GET /models tells kind and defaults, of generators too', async (t) => {
    const { models } = (await (await fetch(`${url}/models`)).json()) as { models: Record<string, unknown>[] };
    const of = (name: string) => models.find((model) => model.name === name);
    const defaults = { steps: 25, guidance: 7.5, scheduler: 'euler_a', influence: 25, image_guidance: 1.5 };
    t.match(of('edit'), { kind: 'instruct-pix2pix', defaults });
    t.strictSame(Object.keys(of('plain')!.defaults as object).sort(), ['guidance', 'scheduler', 'steps']);
    t.match(of('closer'), { defaults: { steps: 3, influence: 70, image_guidance: 2.4 } });
    t.match(of('by-influence'), { defaults: { influence: 80, image_guidance: 2.6 } });
    t.match(of('no-use'), { runnable: false, reason: 'its base plain takes no image_guidance' });
    t.match(of('two-names'), { runnable: false, reason: /influence and image_guidance, which are two names/ });
  });

  await t.test("a generator's default gives way to whatever a request says of it", async (t) => {
    for (const [model, sent, imageGuidance] of [
      ['closer', {}, '2.4'],
      ['closer', { influence: 0 }, '1'],
      ['by-influence', {}, '2.6'],
      ['by-influence', { image_guidance: 1.25 }, '1.25'],
      ['by-influence', { strength: 1 }, '1'],
    ] as const) {
      const response = await post({ ...quick, model, ...sent });
      t.equal(response.headers.get('img2img-image-guidance'), imageGuidance, `${model} ${JSON.stringify(sent)}`);
    }
  });

  await t.test('a sheet takes it along an axis, and tells it where influence changes', async (t) => {
    const axis = (field: string, values: string) => ({ ...quick, x_field: field, x_values: values });
    for (const [field, values, expected] of [
      ['image_guidance', '1|2', [1, 2]],
      ['influence', '0|100', [1, 3]],
    ] as const) {
      const response = await post(axis(field, values), 'img2img/sheet', 'application/json');
      const { cells } = (await response.json()) as { cells: { parameters: { image_guidance: number } }[] };
      t.strictSame(
        cells.map(({ parameters }) => parameters.image_guidance),
        expected,
      );
      t.equal((await post(axis(field, values), 'img2img/sheet')).headers.get('content-type'), 'image/png');
    }
  });

  await t.test('/v1 takes it under our name', async (t) => {
    const { seed, steps, prompt, model } = quick;
    const response = await post({ model, prompt, seed, steps, size: '32x32', image_guidance: 2 }, 'v1/images/edits');
    t.match(told(response), { 'image-guidance': '2', influence: null, 'steps-run': '3' });
    const usual = await post({ model, prompt, seed, steps, size: '32x32' }, 'v1/images/edits');
    t.match(told(usual), { 'image-guidance': '1.5', influence: null });
  });

  await t.test('/sdapi takes it as image_cfg_scale', async (t) => {
    const { steps, seed, prompt, width, height } = quick;
    const common = { init_images: [cottage.toString('base64')], prompt, steps, seed, width, height };
    const cases: [
      model: string,
      sent: object,
      imageGuidance: string | null,
      influence: string | null,
      ignored?: string,
    ][] = [
      ['edit', {}, '1.5', null],
      ['edit', { image_cfg_scale: 2 }, '2', null],
      ['edit', { image_cfg_scale: 2, denoising_strength: 0.75 }, '2', null],
      ['edit', { image_cfg_scale: 2, denoising_strength: 0.4 }, '2', null, 'denoising_strength'],
      ['edit', { denoising_strength: 0.5 }, '2', '50'],
      ['by-influence', { image_cfg_scale: null }, '2.6', '80'],
      ['plain', { image_cfg_scale: 1.5 }, null, '25'],
      ['plain', { image_cfg_scale: 2, denoising_strength: 0.5 }, null, '50', 'image_cfg_scale'],
    ];
    for (const [model, sent, imageGuidance, influence, ignored = null] of cases) {
      const override_settings = { sd_model_checkpoint: model };
      const response = await json('sdapi/v1/img2img', { ...common, ...sent, override_settings });
      t.equal(response.status, 200);
      t.match(told(response), { 'image-guidance': imageGuidance, influence }, `${model} ${JSON.stringify(sent)}`);
      t.equal(response.headers.get('img2img-ignored-fields'), ignored);
      const { info } = (await response.json()) as { info: string };
      const [infotext] = JSON.parse(info).infotexts;
      t.equal(/Image CFG scale: ([\d.]+)/.exec(infotext)?.[1], imageGuidance ?? undefined);
    }
    const wrong = await json('sdapi/v1/img2img', { ...common, image_cfg_scale: 31 });
    t.equal(wrong.status, 400);
  });
});
