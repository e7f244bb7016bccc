import { connect } from 'node:net';
import sharp from 'sharp';
import t from 'tap';
import { standIn } from '../stand-in/stand-in.js';
import { cottage, form, startApp, stillLife } from '../start.js';

// A zip-bomb-like PNG: 900 million pixels of one colour in about 900 kB.
const hugePng = await sharp({
  create: { width: 30_000, height: 30_000, channels: 3, background: '#336699' },
  limitInputPixels: false,
})
  .png({ compressionLevel: 9 })
  .toBuffer();
const svg = Buffer.from(
  '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64"/></svg>',
);
const quick = { steps: 2, seed: 7, width: 128, height: 128 };

t.test('POST /img2img', async (t) => {
  const { url, engine } = await startApp(t, { MAX_UPLOAD_BYTES: '26214400' });
  const post = (body: FormData | string, headers: Record<string, string> = {}) =>
    fetch(`${url}/img2img`, { method: 'POST', body, headers });
  const stepsRun = async () =>
    Number(/^img2img_steps_total\{.*\} (\d+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]);
  const postJson = (body: unknown) => post(JSON.stringify(body), { 'content-type': 'application/json' });

  await t.test('answers with a picture, and headers that say what ran', async (t) => {
    const response = await post(form(stillLife, { prompt: 'ink drawing', influence: 42, steps: 5, seed: 0 }));
    t.equal(response.status, 200);
    t.equal(response.headers.get('content-type'), 'image/png');
    t.equal(response.headers.get('cache-control'), 'no-store');
    const header = (name: string) => response.headers.get(`img2img-${name}`);
    t.match(
      {
        seed: header('seed'),
        strength: header('strength'),
        influence: header('influence'),
        guidance: header('guidance'),
        steps: header('steps'),
        run: header('steps-run'),
        calls: header('unet-calls'),
        size: header('size'),
        model: header('model'),
        warnings: header('warnings'),
      },
      {
        seed: '0',
        strength: '0.58',
        influence: '42',
        guidance: '7.5',
        steps: '5',
        run: '2', // trunc(5 * 0.58)
        calls: '2',
        size: '256x256',
        model: 'paintbox',
        warnings: 'size_chosen',
      },
    );
    t.match(header('model-digest'), /^[0-9a-f]{64}$/);
    t.match(header('engine'), /^onnxruntime-1\.\d+\.\d+ cpu /);
    t.match(response.headers.get('server-timing'), /upload;dur=.*denoise;dur=\d/);
    const metadata = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
    t.match(metadata, { format: 'png', width: 256, height: 256 });
  });

  await t.test('the same seed gives the same bytes, another seed others, no seed a new one', async (t) => {
    const picture = async (fields: object) => {
      const response = await post(form(cottage, { ...quick, ...fields }));
      return { bytes: Buffer.from(await response.arrayBuffer()), seed: response.headers.get('img2img-seed') };
    };
    const [first, again, other] = [await picture({}), await picture({}), await picture({ seed: 8 })];
    t.ok(first.bytes.equals(again.bytes), 'seed 7 twice');
    t.notOk(first.bytes.equals(other.bytes), 'seed 8');
    const drawn = await picture({ seed: '' });
    t.not(drawn.seed, '7');
    t.ok((await picture({ seed: drawn.seed! })).bytes.equals(drawn.bytes), 'the seed that was drawn can be used again');
  });

  await t.test('JSON is the same request', async (t) => {
    const fromForm = await post(form(cottage, { ...quick, prompt: 'comic' }));
    const bytes = Buffer.from(await fromForm.arrayBuffer());
    for (const prefix of ['', 'data:image/png;base64,']) {
      const response = await postJson({ ...quick, prompt: 'comic', image: prefix + cottage.toString('base64') });
      t.equal(response.status, 200);
      t.ok(bytes.equals(Buffer.from(await response.arrayBuffer())), `image with the prefix ${JSON.stringify(prefix)}`);
    }
  });

  await t.test('the format follows the field, then Accept, ties in the order png, jpeg, webp, avif', async (t) => {
    const cases: [accept: string, format: string | undefined, expected: string][] = [
      ['application/json;q=0.5, image/jpeg', undefined, 'jpeg'],
      ['*/*', undefined, 'png'],
      ['image/*', undefined, 'png'],
      ['image/webp', undefined, 'webp'],
      ['image/avif,image/webp,image/apng,image/*;q=0.8', undefined, 'webp'],
      ['image/jpeg;q=0.5,image/avif;q=0.9', undefined, 'avif'],
      ['image/png', 'jpeg', 'jpeg'],
    ];
    for (const [accept, format, expected] of cases) {
      const response = await post(form(cottage, { ...quick, strength: 0, ...(format && { format }) }), { accept });
      t.equal(response.headers.get('content-type'), `image/${expected}`, `Accept ${accept}, format ${format}`);
      const { format: actual } = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
      t.equal(actual, expected === 'avif' ? 'heif' : expected);
    }
  });

  await t.test('JSON says what the headers say, with the pictures in base64', async (t) => {
    const response = await post(form(cottage, { ...quick, format: 'webp' }), { accept: 'application/json' });
    t.equal(response.status, 200);
    const { id, created, model, images, parameters, timings, warnings } = (await response.json()) as Made;
    t.equal(id, response.headers.get('x-request-id'));
    t.ok(Math.abs(created - Date.now() / 1000) < 300);
    t.equal(model, 'paintbox');
    t.match(images, [{ seed: 7, width: 128, height: 128, format: 'webp' }]);
    t.equal((await sharp(Buffer.from(images[0]!.b64_json, 'base64')).metadata()).format, 'webp');
    const { prompt, negative_prompt, ...inHeaders } = parameters;
    t.strictSame({ prompt, negative_prompt }, { prompt: '', negative_prompt: '' }, 'headers have no prompts');
    for (const [name, value] of Object.entries(inHeaders)) {
      t.equal(response.headers.get(`img2img-${name.replaceAll('_', '-')}`), String(value), name);
    }
    t.match(Object.keys(timings), ['upload', 'decode', 'queue', 'model_load', 'text_encode']);
    t.strictSame(warnings, []);
  });

  await t.test('n pictures have the seeds seed + i mod 2^32, and each is the picture of its seed alone', async (t) => {
    const response = await post(form(cottage, { ...quick, seed: 2 ** 32 - 2, n: 3 }));
    t.equal(response.headers.get('content-type'), 'application/json; charset=utf-8', 'Accept */* means JSON');
    const { images } = (await response.json()) as Made;
    t.strictSame(
      images.map(({ seed }) => seed),
      [2 ** 32 - 2, 2 ** 32 - 1, 0],
    );
    const alone = await post(form(cottage, { ...quick, seed: 0 }));
    t.equal(images[2]!.b64_json, Buffer.from(await alone.arrayBuffer()).toString('base64'));
    t.equal(new Set(images.map(({ b64_json }) => b64_json)).size, 3);
  });

  await t.test('quality makes lossy pictures smaller, and has no effect on PNG', async (t) => {
    const bytes = async (fields: object, warnings: string | null = null) => {
      const response = await post(form(cottage, { ...quick, strength: 0, ...fields }));
      t.equal(response.headers.get('img2img-warnings'), warnings, JSON.stringify(fields));
      return (await response.arrayBuffer()).byteLength;
    };
    for (const format of ['jpeg', 'webp', 'avif']) {
      t.ok((await bytes({ format, quality: 10 })) < (await bytes({ format })), format);
    }
    t.equal(await bytes({ quality: 10 }, 'quality_unused'), await bytes({}), 'png');
  });

  await t.test('the parameters are embedded when that is asked for, whatever the prompt is', async (t) => {
    const prompt = 'a <b> & "c" é 猫 \u{1f308}\n';
    const image = cottage.toString('base64');
    for (const format of ['png', 'jpeg', 'webp', 'avif']) {
      const response = await postJson({ ...quick, image, prompt, format, embed_parameters: true });
      const xmp = (await sharp(Buffer.from(await response.arrayBuffer())).metadata()).xmp!.toString();
      const text = /img2img:Parameters="([^"]*)"/.exec(xmp)![1]!;
      const embedded = JSON.parse(text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code)));
      t.match(embedded, { prompt, seed: 7, steps: 2, model: 'paintbox' }, format);
    }
  });

  await t.test('sizes: the aspect is kept, one side decides the other, both are taken', async (t) => {
    const wide = await sharp(cottage).resize(600, 300, { fit: 'fill' }).png().toBuffer();
    const cases: [fields: Record<string, number>, size: string][] = [
      [{}, '384x192'],
      [{ width: 512 }, '512x256'],
      [{ height: 128 }, '256x128'],
      [{ width: 128, height: 192 }, '128x192'],
    ];
    for (const [fields, size] of cases) {
      const response = await post(form(wide, { strength: 0, ...fields }));
      t.equal(response.headers.get('img2img-size'), size, JSON.stringify(fields));
    }
  });

  await t.test('what cover cuts off is told, as a share and as a warning', async (t) => {
    const cases: [
      starter: [number, number],
      fields: Record<string, number | string>,
      cropped: string,
      warned: boolean,
    ][] = [
      [[600, 100], {}, '0.33', true],
      [[600, 100], { fit: 'contain' }, '0', false],
      [[256, 256], { width: 256, height: 128 }, '0.5', true],
      [[256, 255], { width: 128, height: 128 }, '0', false],
      [[256, 128], {}, '0', false],
    ];
    for (const [[width, height], fields, cropped, warned] of cases) {
      const starter = await sharp(cottage).resize(width, height, { fit: 'fill' }).png().toBuffer();
      const { headers } = await post(form(starter, { strength: 0, ...fields }));
      t.equal(headers.get('img2img-cropped'), cropped, `${width} x ${height} ${JSON.stringify(fields)}`);
      t.equal(headers.get('img2img-warnings')?.includes('starter_cropped') ?? false, warned);
    }
  });

  await t.test('what has no effect or is changed is a warning', async (t) => {
    const transparent = await sharp({ create: { width: 128, height: 128, channels: 4, background: '#ff000080' } })
      .png()
      .toBuffer();
    const cases: [picture: Buffer, fields: Record<string, string | number>, warnings: string[]][] = [
      [cottage, { ...quick, guidance: 1, negative_prompt: 'blurry' }, ['negative_prompt_unused']],
      [cottage, { ...quick, strength: 0, prompt: 'comic' }, ['prompts_unused']],
      [cottage, { ...quick, strength: 0.3, prompt: 'comic' }, ['prompts_unused', 'strength_rounded_to_no_step']],
      [cottage, { ...quick, prompt: 'pastel, '.repeat(60) }, ['prompt_truncated']],
      [transparent, { ...quick, strength: 0 }, ['transparency_flattened']],
    ];
    for (const [picture, fields, warnings] of cases) {
      const response = await post(form(picture, fields));
      t.equal(response.status, 200);
      t.equal(response.headers.get('img2img-warnings'), warnings.join(', '), JSON.stringify(fields).slice(0, 80));
    }
  });

  await t.test('bad input is refused with a problem that names the field', async (t) => {
    const cases: [name: string, send: () => Promise<Response>, status: number, code: string, pointers: string[]][] = [
      ['no picture', () => post(form(undefined, { prompt: 'x' })), 400, 'invalid_request', ['#/image']],
      [
        'a text file named .png',
        () => post(form(Buffer.from('hello, I am text'), {}, 'a.png')),
        415,
        'unsupported_picture',
        ['#/image'],
      ],
      ['an empty file', () => post(form(Buffer.alloc(0))), 415, 'unsupported_picture', ['#/image']],
      ['an SVG', () => post(form(svg, {}, 'a.svg')), 415, 'unsupported_picture', ['#/image']],
      ['a truncated JPEG', () => post(form(stillLife.subarray(0, 20_000))), 422, 'undecodable_picture', ['#/image']],
      ['a PNG of 30,000 x 30,000', () => post(form(hugePng)), 422, 'picture_too_large', ['#/image']],
      ['strength 1.5', () => post(form(cottage, { strength: 1.5 })), 400, 'invalid_request', ['#/strength']],
      [
        'strength and influence',
        () => post(form(cottage, { strength: 0.5, influence: 50 })),
        400,
        'invalid_request',
        ['#/strength', '#/influence'],
      ],
      ['an unknown field', () => post(form(cottage, { stregth: 0.5 })), 400, 'invalid_request', ['#/stregth']],
      [
        'an unknown scheduler',
        () => post(form(cottage, { scheduler: 'ddim9000' })),
        400,
        'invalid_request',
        ['#/scheduler'],
      ],
      [
        'two bad fields',
        () => post(form(cottage, { steps: 0, guidance: 'much' })),
        400,
        'invalid_request',
        ['#/guidance', '#/steps'],
      ],
      ['an unknown model', () => post(form(cottage, { model: 'sd3' })), 404, 'model_not_found', ['#/model']],
      [
        'a width that is no multiple',
        () => post(form(cottage, { width: 250 })),
        422,
        'size_not_supported',
        ['#/width'],
      ],
      [
        'more steps than LCM has places for',
        () => post(form(cottage, { steps: 60, scheduler: 'lcm' })),
        422,
        'unsupported_combination',
        ['#/steps'],
      ],
      ['a height out of range', () => post(form(cottage, { height: 4096 })), 422, 'size_not_supported', ['#/height']],
      ['a bad background', () => post(form(cottage, { background: '#12' })), 400, 'invalid_request', ['#/background']],
      [
        'a background that is no colour',
        () => post(form(cottage, { background: 'blau' })),
        400,
        'invalid_request',
        ['#/background'],
      ],
      ['a body of 50 MB', () => post(form(Buffer.alloc(50_000_000))), 413, 'upload_too_large', ['#/image']],
      [
        'JSON that is no JSON',
        () => post('{"image": ', { 'content-type': 'application/json' }),
        400,
        'invalid_request',
        [],
      ],
      ['JSON that is no object', () => postJson([1]), 400, 'invalid_request', ['#']],
      [
        'JSON with a number as text',
        () => postJson({ image: cottage.toString('base64'), steps: '5' }),
        400,
        'invalid_request',
        ['#/steps'],
      ],
      [
        'JSON with an image that is no base64',
        () => postJson({ image: 'https://example.com/a.png' }),
        400,
        'invalid_request',
        ['#/image'],
      ],
      ['a picture as a text field', () => post(form(undefined, { image: 'x' })), 400, 'invalid_request', ['#/image']],
      [
        'a form cut off',
        () =>
          post('--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc', {
            'content-type': 'multipart/form-data; boundary=x',
          }),
        400,
        'invalid_request',
        [],
      ],
      [
        'a form without a boundary',
        () => post('abc', { 'content-type': 'multipart/form-data' }),
        400,
        'invalid_request',
        [],
      ],
      ['plain text', () => post('hello', { 'content-type': 'text/plain' }), 415, 'unsupported_media_type', []],
      ['no body', () => fetch(`${url}/img2img`, { method: 'POST' }), 415, 'unsupported_media_type', []],
      ['an empty unknown field', () => post(form(cottage, { stregth: '' })), 400, 'invalid_request', ['#/stregth']],
      ['a field named constructor', () => post(form(cottage, { constructor: 1 } as never)), 400, 'invalid_request', []],
      [
        'a number without end',
        () => post(form(cottage, { strength: '1e999' })),
        400,
        'invalid_request',
        ['#/strength'],
      ],
      [
        'a format, and an answer in HTML',
        () => post(form(cottage, { format: 'png' }), { accept: 'text/html' }),
        406,
        'not_acceptable',
        [],
      ],
      [
        'a picture type for two pictures',
        () => post(form(cottage, { n: 2 }), { accept: 'image/png' }),
        406,
        'not_acceptable',
        [],
      ],
      ['nine pictures', () => post(form(cottage, { n: 9 })), 400, 'invalid_request', ['#/n']],
      ['quality 0', () => post(form(cottage, { quality: 0 })), 400, 'invalid_request', ['#/quality']],
      [
        'a flag that is no flag',
        () => post(form(cottage, { embed_parameters: 'yes' })),
        400,
        'invalid_request',
        ['#/embed_parameters'],
      ],
      ['an answer in HTML', () => post(form(cottage), { accept: 'text/html' }), 406, 'not_acceptable', []],
      [
        'a timeout that is no number',
        () => post(form(cottage), { 'x-request-timeout-ms': 'soon' }),
        400,
        'invalid_request',
        ['#/x-request-timeout-ms'],
      ],
    ];
    const twice = form(cottage, { seed: '' });
    twice.append('seed', '2');
    cases.push(['a repeated field', () => post(twice), 400, 'invalid_request', ['#/seed']]);
    const twoPictures = form(cottage);
    twoPictures.append('image', new Blob([cottage]), 'b.png');
    cases.push(['two pictures', () => post(twoPictures), 400, 'invalid_request', ['#/image']]);

    for (const [name, send, status, code, pointers] of cases) {
      const response = await send();
      const problem = await problemOf(response);
      t.equal(response.status, status, `${name}: status`);
      t.match(response.headers.get('content-type'), /^application\/problem\+json/, `${name}: type`);
      t.match(problem, { code, status, instance: '/img2img', request_id: /./ }, `${name}: ${problem.detail}`);
      t.strictSame(
        (problem.errors ?? []).map(({ pointer }) => pointer),
        pointers,
        `${name}: fields`,
      );
      for (const error of problem.errors ?? []) t.match(error.detail, /\.$/, `${name}: ${error.detail}`);
    }
    t.equal((await post(form(cottage, quick))).status, 200, 'the service goes on');
  });

  await t.test('what is no proper HTTP is answered with a problem too', async (t) => {
    const cases: [path: string, status: number, code: string][] = [
      ['/nowhere', 404, 'not_found'],
      ['/%zz', 400, 'invalid_request'],
      [`/models/${'x'.repeat(300)}`, 400, 'invalid_request'],
      [`/models/${'x'.repeat(10_000)}/picture`, 400, 'invalid_request'],
      [`/problems/${'x'.repeat(300)}`, 400, 'invalid_request'],
    ];
    for (const [path, status, code] of cases) {
      const response = await fetch(url + path);
      t.equal(response.status, status, path);
      t.match(response.headers.get('content-type'), /^application\/problem\+json/, path);
      t.match(await problemOf(response), { code, type: `/problems/${code}` }, path);
    }
    const { port } = new URL(url);
    const raw = (text: string) =>
      new Promise<string>((resolve) => {
        let answer = '';
        const socket = connect(Number(port), '127.0.0.1', () => socket.write(text));
        socket.on('data', (data) => {
          answer += data;
        });
        socket.on('close', () => resolve(answer));
      });
    t.match(await raw('hello\r\n\r\n'), /^HTTP\/1.1 400 .*application\/problem\+json.*invalid_request/s);
    t.match(
      await raw(`GET /livez HTTP/1.1\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`),
      /^HTTP\/1.1 431 .*application\/problem\+json/s,
    );
  });

  await t.test('base64 that is mostly white space, and long numbers, are read in no time', async (t) => {
    const started = performance.now();
    const response = await postJson({ image: `${' '.repeat(1_000_000)}!` });
    t.equal(response.status, 400);
    t.equal((await post(form(cottage, { strength: `${'1'.repeat(8000)}!` }))).status, 400);
    t.ok(performance.now() - started < 30_000, 'minutes with a regular expression that backtracks');
  });

  await t.test('texts of problems name field, value and limit', async (t) => {
    const detail = async (fields: Record<string, string | number>) =>
      (await problemOf(await post(form(cottage, fields)))).detail;
    t.equal(await detail({ strength: 1.5 }), 'strength is 1.5; it must be at most 1.');
    t.equal(await detail({ guidance: 'high' }), 'guidance is "high"; it must be a number.');
    t.equal(await detail({ width: 250 }), 'width is 250; it must be a multiple of 32. The nearest: 224 and 256.');
    t.match(await detail({ scheduler: 'plms' }), /^scheduler is "plms"; it must be one of ddim, ddpm, .*dpmpp_2m/);
    t.match(await detail({ model: 'nope' }), /There is no model "nope"; there are: paintbox/);
  });

  await t.test('a deadline that cannot be met is a 429 at once', async (t) => {
    const response = await post(form(cottage, { steps: 150, strength: 1 }), { 'x-request-timeout-ms': '150' });
    t.equal(response.status, 429);
    t.match(response.headers.get('retry-after'), /^[1-9]\d*$/);
    t.equal((await problemOf(response)).code, 'deadline_unattainable');
  });

  await t.test('a deadline that passes is a 504, and frees the worker', async (t) => {
    const { url, engine } = await startApp(t, { MODELS_DIR: 'test/reference', WORKER_MODULE: standIn() });
    const body = form(cottage, { prompt: '[slow@2]', steps: 4, strength: 1 });
    const headers = { 'x-request-timeout-ms': '3000' };
    const response = await fetch(`${url}/img2img`, { method: 'POST', body, headers });
    t.equal(response.status, 504);
    t.equal((await problemOf(response)).code, 'deadline_exceeded');
    await untilIdle(engine);
  });

  await t.test('a client that leaves frees the worker', async (t) => {
    const before = await stepsRun();
    const controller = new AbortController();
    const leaving = fetch(`${url}/img2img`, {
      method: 'POST',
      body: form(cottage, { steps: 150, strength: 1 }),
      signal: controller.signal,
    });
    while (engine.status.inFlight === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort();
    await t.rejects(leaving);
    await untilIdle(engine);
    t.ok((await stepsRun()) - before < 150, 'the rest of the steps did not run');
  });
});

interface Made {
  id: string;
  created: number;
  model: string;
  images: { b64_json: string; seed: number; width: number; height: number; format: string }[];
  parameters: Record<string, unknown>;
  timings: Record<string, number>;
  warnings: { code: string; detail: string }[];
}

interface ProblemJson {
  code: string;
  detail: string;
  errors?: { pointer: string; detail: string }[];
}
const problemOf = async (response: Response) => (await response.json()) as ProblemJson;

async function untilIdle(engine: { status: { inFlight: number } }): Promise<void> {
  while (engine.status.inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 5));
}
