import sharp from 'sharp';
import t from 'tap';
import { cottage, startApp } from '../start.js';

const starter = cottage.toString('base64');
const quick = { init_images: [starter], steps: 2, width: 128, height: 128, seed: 7 };
const long = { ...quick, steps: 150, denoising_strength: 1 };

interface Made {
  images: string[];
  parameters: Record<string, unknown>;
  info: string;
}

t.test('/sdapi/v1', async (t) => {
  const { url, engine } = await startApp(t, { API_KEYS: 'one,two:three', MAX_CONCURRENT: '2' });
  const authorization = (key: string) => `Basic ${Buffer.from(`user:${key}`).toString('base64')}`;
  const call = (path: string, body?: object, key = 'one') =>
    fetch(`${url}/sdapi/v1/${path}`, {
      method: body ? 'POST' : 'GET',
      headers: { authorization: authorization(key), ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
  const get = async (path: string, key?: string) => (await call(path, undefined, key)).json();
  const made = async (body: object) => (await (await call('img2img', body)).json()) as Made;

  await t.test('img2img answers with pictures, the request, and what ran', async (t) => {
    const { images, parameters, info } = await made({
      ...quick,
      init_images: [`data:image/png;base64,${starter}`],
      prompt: 'comic',
      negative_prompt: 'blurry',
      sampler_name: 'DPM++ 2M',
      batch_size: 2,
      n_iter: 1,
      subseed: null,
    });
    t.equal(images.length, 2);
    t.match(await sharp(Buffer.from(images[0]!, 'base64')).metadata(), { format: 'png', width: 128, height: 128 });
    t.match(parameters, { init_images: null, prompt: 'comic', steps: 2 });
    const facts = JSON.parse(info);
    const { digest } = engine.model();
    t.match(facts, {
      prompt: 'comic',
      negative_prompt: 'blurry',
      seed: 7,
      all_seeds: [7, 8],
      sampler_name: 'DPM++ 2M',
      cfg_scale: 7,
      denoising_strength: 0.75,
      width: 128,
      batch_size: 2,
      sd_model_hash: digest.slice(0, 10),
    });
    t.equal(
      facts.infotexts[1],
      `comic\nNegative prompt: blurry\nSteps: 2, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 7, Seed: 8, Size: 128x128, Model hash: ${digest.slice(0, 10)}, Model: paintbox, Denoising strength: 0.75, Version: img2img-test`,
    );
  });

  await t.test("defaults are the web UI's", async (t) => {
    const { headers } = await call('img2img', { init_images: [starter], denoising_strength: 0 });
    t.match(
      ['size', 'steps', 'guidance', 'scheduler'].map((name) => headers.get(`img2img-${name}`)),
      ['512x512', '50', '7', 'euler'],
    );
  });

  await t.test('a sampler and a schedule are one of our schedulers', async (t) => {
    const cases: [sampler: string, scheduler: string | undefined, ours: string][] = [
      ['Euler', undefined, 'euler'],
      ['k_euler', 'Karras', 'euler_karras'],
      ['euler a', 'automatic', 'euler_a'],
      ['DPM++ 2M', 'Automatic', 'dpmpp_2m_karras'],
      ['DPM++ 2M Karras', undefined, 'dpmpp_2m_karras'],
      ['DPM++ 2M', 'uniform', 'dpmpp_2m'],
      ['DDIM', undefined, 'ddim'],
      ['UniPC', 'karras', 'unipc_karras'],
      ['Heun', 'Karras', 'heun_karras'],
      ['LMS', undefined, 'lms'],
      ['k_lms', 'Exponential', 'lms_exponential'],
      ['DPM2', undefined, 'dpm2_karras'],
      ['DPM2 a', 'uniform', 'dpm2_a'],
      ['DPM2 a', 'Beta', 'dpm2_a_beta'],
      ['DPM++ 2M SDE', undefined, 'dpmpp_2m_sde_exponential'],
      ['DPM++ 2M SDE Exponential', undefined, 'dpmpp_2m_sde_exponential'],
    ];
    for (const [sampler_name, scheduler, ours] of cases) {
      const { headers } = await call('img2img', { ...quick, denoising_strength: 0, sampler_name, scheduler });
      t.equal(headers.get('img2img-scheduler'), ours, `${sampler_name}, ${scheduler}`);
    }
  });

  await t.test('resize_mode: 0 stretches, 1 cuts, 2 fits', async (t) => {
    const wide = await sharp({ create: { width: 256, height: 128, channels: 3, background: 'red' } })
      .composite([{ input: { create: { width: 64, height: 128, channels: 3, background: 'blue' } }, left: 0, top: 0 }])
      .png()
      .toBuffer();
    const corner = async (resize_mode: number, left: number, top: number) => {
      const body = { ...quick, init_images: [wide.toString('base64')], denoising_strength: 0, resize_mode };
      const { images } = await made(body);
      const pixel = sharp(Buffer.from(images[0]!, 'base64')).extract({ left, top, width: 1, height: 1 }).removeAlpha();
      const [red, green, blue] = await pixel.raw().toBuffer();
      return { red: red! > 127, green: green! > 127, blue: blue! > 127 };
    };
    t.match(await corner(0, 8, 64), { red: false, blue: true }, 'stretched: the blue quarter is there');
    t.match(await corner(1, 8, 64), { red: true, blue: false }, 'cut: it is not');
    t.match(await corner(2, 8, 64), { red: false, blue: true }, 'fitted: it is');
    t.match(await corner(2, 8, 8), { red: false, blue: true }, 'fitted: the edges above');
    t.match(await corner(2, 100, 120), { red: true, green: false, blue: false }, 'and below');
  });

  await t.test('mask: white is repainted, softly; or black', async (t) => {
    const side = 128;
    const white = { width: side / 2, height: side, channels: 3, background: 'white' } as const;
    const picture = await sharp({ create: white })
      .extend({ left: side / 2, background: 'black' })
      .png()
      .toBuffer();
    const before = await sharp(cottage).resize(side, side).removeAlpha().raw().toBuffer();
    const largest = async (more: object) => {
      const mask = picture.toString('base64');
      const { images } = await made({ ...quick, denoising_strength: 1, mask, ...more });
      const after = await sharp(Buffer.from(images[0]!, 'base64')).removeAlpha().raw().toBuffer();
      const halves = { left: 0, right: 0 };
      for (let i = 0; i < after.length; i++) {
        const x = Math.floor(i / 3) % side;
        const half = x < side / 4 ? 'left' : x >= (3 * side) / 4 ? 'right' : undefined;
        if (half) halves[half] = Math.max(halves[half], Math.abs(after[i]! - before[i]!));
      }
      return halves;
    };
    const plain = await largest({});
    t.ok(plain.left <= 3 && plain.right > 30, `white on the right: ${JSON.stringify(plain)}`);
    const inverted = await largest({ inpainting_mask_invert: 1, mask_blur: 0 });
    t.ok(inverted.left > 30 && inverted.right <= 3, `inverted: ${JSON.stringify(inverted)}`);
    // Black, and opaque where it is to be repainted: of a mask with transparency only that counts.
    const drawn = await sharp({ create: { ...white, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 1 } } })
      .extend({ left: side / 2, background: { r: 0, g: 0, b: 0, alpha: 0 } })
      .png()
      .toBuffer();
    const byAlpha = await largest({ mask: drawn.toString('base64') });
    t.ok(byAlpha.left <= 3 && byAlpha.right > 30, `opaque on the right: ${JSON.stringify(byAlpha)}`);
    const ignored = async (more: object) =>
      (await call('img2img', { ...quick, mask: picture.toString('base64'), ...more })).headers.get(
        'img2img-ignored-fields',
      );
    const fillAndZoom = { inpainting_fill: 0, inpaint_full_res: true };
    t.equal(await ignored(fillAndZoom), 'inpainting_fill, inpaint_full_res', 'the web UI would fill and zoom');
    t.equal(await ignored({ inpainting_fill: 1, inpaint_full_res: false }), null);
  });

  await t.test('what has no effect is named, what cannot be is refused', async (t) => {
    const { headers } = await call('img2img', {
      ...quick,
      restore_faces: true,
      tiling: false,
      styles: [],
      s_churn: 3,
      override_settings: { CLIP_stop_at_last_layers: 2, sd_model_checkpoint: 'paintbox' },
    });
    t.equal(
      headers.get('img2img-ignored-fields'),
      'restore_faces, s_churn, override_settings.CLIP_stop_at_last_layers',
    );
    const cases: [body: object, status: number, error: string, errors: string][] = [
      [{ ...quick, init_images: [] }, 400, 'invalid_request', 'init_images'],
      [{ prompt: 'x' }, 400, 'invalid_request', 'init_images'],
      [{ ...quick, init_images: ['https://example.com/a.png'] }, 400, 'invalid_request', 'init_images'],
      [{ ...quick, init_images: ['AAAA'] }, 415, 'unsupported_picture', 'init_images'],
      [{ ...quick, denoising_strength: 2 }, 400, 'invalid_request', 'denoising_strength'],
      [{ ...quick, batch_size: 3, n_iter: 3 }, 400, 'invalid_request', 'n_iter'],
      ...['DPM++ 2S a', 'DPM++ 3M SDE', 'DPM fast', 'DPM adaptive', 'Restart'].map(
        (sampler_name): (typeof cases)[number] => [{ ...quick, sampler_name }, 400, 'invalid_request', 'sampler_name'],
      ),
      [{ ...quick, scheduler: 'sgm_uniform' }, 400, 'invalid_request', 'scheduler'],
      [{ ...quick, sampler_name: 'Euler a', scheduler: 'karras' }, 422, 'unsupported_combination', 'scheduler'],
      [{ ...quick, script_name: 'X/Y/Z plot' }, 422, 'unsupported_combination', 'script_name'],
      [{ ...quick, alwayson_scripts: { ControlNet: {} } }, 422, 'unsupported_combination', 'alwayson_scripts'],
      [{ ...quick, width: 250 }, 422, 'size_not_supported', 'width'],
      [{ ...quick, resize_mode: 3 }, 400, 'invalid_request', 'resize_mode'],
      [
        { ...quick, override_settings: { sd_model_checkpoint: 'sd_xl' } },
        404,
        'model_not_found',
        'override_settings.sd_model_checkpoint',
      ],
    ];
    for (const [body, status, error, errors] of cases) {
      const response = await call('img2img', body);
      const answer = (await response.json()) as { detail: string };
      t.equal(response.status, status, answer.detail);
      t.match(answer, { error, errors, detail: /\.$/ });
    }
    const text = await fetch(`${url}/sdapi/v1/img2img`, {
      method: 'POST',
      headers: { authorization: authorization('one') },
      body: new FormData(),
    });
    t.equal(text.status, 415);
    t.match(await get('nowhere'), { error: 'not_found' });
  });

  await t.test('a request without pictures in the answer, or with its starter in it', async (t) => {
    const answer = await made({ ...quick, send_images: false, include_init_images: true });
    t.strictSame(answer.images, []);
    t.strictSame(answer.parameters.init_images, [starter]);
  });

  await t.test('progress and interrupt see the tasks of their own key only', async (t) => {
    const running = made({ ...long, force_task_id: 'mine' });
    let progress = { progress: 0, state: { job: '', sampling_steps: 0 } };
    while (progress.progress === 0) progress = (await get('progress?id_task=mine')) as typeof progress;
    t.match(progress, { state: { job: 'mine', job_count: 1, sampling_steps: 150, interrupted: false } });
    t.ok(progress.progress > 0 && progress.progress <= 1);
    t.match(await get('progress', 'two:three'), { progress: 0, state: { job: '' } }, 'another key sees nothing');
    t.match(await get('progress?id_task=other'), { progress: 0, state: { job: '' } });
    t.strictSame(await (await call('interrupt', {}, 'two:three')).json(), {}, 'and stops nothing');
    t.strictSame(await (await call('interrupt?id_task=other', {})).json(), {});
    t.match(await get('progress?id_task=mine'), { state: { job: 'mine', interrupted: false } });
    t.strictSame(await (await call('interrupt?id_task=mine', {})).json(), {});
    const { images, info } = await running;
    t.strictSame(images, []);
    t.match(JSON.parse(info), { interrupted: true });
    t.match(await get('progress'), { progress: 0, state: { job: '' } }, 'nothing is left');
  });

  await t.test('lists of samplers, schedulers, models and options', async (t) => {
    const names = ((await get('samplers')) as { name: string }[]).map(({ name }) => name);
    for (const name of ['Euler', 'Euler a', 'DPM++ 2M', 'DDIM']) t.ok(names.includes(name), name);
    t.match(await get('schedulers'), [
      { name: 'automatic', label: 'Automatic' },
      { name: 'uniform', label: 'Uniform' },
      { name: 'karras', label: 'Karras' },
      { name: 'exponential', label: 'Exponential' },
      { name: 'beta', label: 'Beta' },
    ]);
    const { name, digest } = engine.model();
    const title = `${name} [${digest.slice(0, 10)}]`;
    t.match(await get('sd-models'), [{ title, model_name: name, sha256: digest }]);
    t.match(await get('options'), { sd_model_checkpoint: title });
    for (const sd_model_checkpoint of [title, name, digest, digest.slice(0, 10)]) {
      const { headers } = await call('img2img', {
        ...quick,
        denoising_strength: 0,
        override_settings: { sd_model_checkpoint },
      });
      t.equal(headers.get('img2img-model'), 'paintbox', sd_model_checkpoint);
    }
    t.equal(await (await call('options', { sd_model_checkpoint: title })).json(), null);
    const refused = await call('options', { CLIP_stop_at_last_layers: 2 });
    t.equal(refused.status, 400);
    t.match(await refused.json(), { error: 'invalid_request', detail: /cannot be set.*override_settings/ });
  });
});

t.test('the key is taken as a password too, with any user', async (t) => {
  const { url } = await startApp(t, { API_KEYS: 'colon:key, second-key' });
  const status = async (path: string, authorization: string) =>
    (await fetch(url + path, { headers: { authorization } })).status;
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
  const path = '/sdapi/v1/samplers';
  t.equal(await status(path, basic('anybody:second-key')), 200);
  t.equal(await status(path, basic(':colon:key')), 200, 'the password may hold colons');
  t.equal(await status(path, 'Bearer second-key'), 200);
  for (const wrong of [basic('second-key:'), basic('second-key'), basic('u:wrong'), 'Basic', 'Basic ?', '']) {
    t.equal(await status(path, wrong), 401, JSON.stringify(wrong));
  }
  t.equal(await status('/models', basic('u:second-key')), 401, 'only there');
  t.match((await fetch(url + path)).headers.get('www-authenticate'), /^Bearer .*, Basic /);
});
