// The official openai package, which knows nothing of this server but its address and a key.
// OPENAI_PACKAGE: another copy of the package, by path; its newest major wants a newer Node than this project does.

import type { OpenAI as Client } from 'openai';
import sharp from 'sharp';
import t from 'tap';
import { cottage, startApp } from '../start.js';

const { default: OpenAI, toFile } = (await import(process.env.OPENAI_PACKAGE ?? 'openai')) as typeof import('openai');

t.test('the openai package edits pictures', async (t) => {
  const { url, engine } = await startApp(t, {
    API_KEYS: 'secret',
    MAX_UPLOAD_BYTES: '300000',
    MAX_UPLOADS_BYTES: '3000000',
    MODEL_ALIASES: 'gpt-image-1=paintbox',
  });
  const client: Client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'secret' });
  const image = () => toFile(cottage, 'cottage.png', { type: 'image/png' });
  const quick = { prompt: 'watercolor painting', quality: 'low' } as const;
  const decoded = (b64: string | undefined) => sharp(Buffer.from(b64 ?? '', 'base64'));

  await t.test('plain', async (t) => {
    const { data, ...rest } = await client.images.edit({ image: await image(), ...quick });
    t.equal(data?.length, 1);
    t.match(await decoded(data?.[0]?.b64_json).metadata(), { format: 'png', width: 256, height: 256 });
    t.match(rest, { background: 'opaque', output_format: 'png', quality: 'low', size: '256x256' });
  });

  await t.test('n = 2, in another format and size, under the name of another model', async (t) => {
    const { data, response } = await client.images
      .edit({
        image: [await image()],
        ...quick,
        model: 'gpt-image-1',
        n: 2,
        size: '128x128' as '256x256',
        output_format: 'webp',
        output_compression: 80,
        input_fidelity: 'high',
        partial_images: 1,
      })
      .withResponse();
    t.equal(data.data?.length, 2);
    for (const { b64_json } of data.data ?? []) {
      t.match(await decoded(b64_json).metadata(), { format: 'webp', width: 128, height: 128 });
    }
    t.not(data.data?.[0]?.b64_json, data.data?.[1]?.b64_json, 'each has its own seed');
    t.equal(response.headers.get('img2img-model'), 'paintbox');
    t.equal(response.headers.get('img2img-steps'), '13', 'quality low: half of 25 steps');
    t.equal(response.headers.get('img2img-ignored-fields'), 'input_fidelity, partial_images');
  });

  await t.test("a size of OpenAI's that the model is too small for is its nearest, and told", async (t) => {
    const { data, response } = await client.images
      .edit({ image: await image(), ...quick, ...{ steps: 1 }, size: '1536x1024' })
      .withResponse();
    t.equal(data.size as string, '512x352');
    t.match(await decoded(data.data?.[0]?.b64_json).metadata(), { width: 512, height: 352 });
    t.match(response.headers.get('img2img-warnings'), /size_adjusted/);
  });

  await t.test('streamed', async (t) => {
    const stream = await client.images.edit({ image: await image(), ...quick, stream: true, partial_images: 2 });
    const events = [];
    for await (const event of stream) events.push(event);
    const partial = events.filter(({ type }) => type === 'image_edit.partial_image');
    t.strictSame(
      partial.map((event) => 'partial_image_index' in event && event.partial_image_index),
      [0, 1],
    );
    t.equal(events.at(-1)?.type, 'image_edit.completed');
    t.equal(events.length, 3);
    for (const event of events) {
      t.match(event, { output_format: 'png', size: '256x256', background: 'opaque', quality: 'low' });
      t.match(await decoded(event.b64_json).metadata(), { format: 'png', width: 256, height: 256 });
    }
    const refused = client.images.edit({ image: await image(), ...quick, stream: true, n: 9 });
    t.match(await failure(refused), { status: 400, param: 'n' });
  });

  await t.test('with a mask, whose transparent half is repainted', async (t) => {
    const side = 128;
    const black = { r: 0, g: 0, b: 0, alpha: 1 };
    const hole = { width: side / 2, height: side, channels: 4, background: { ...black, alpha: 0 } } as const;
    const mask = await sharp({ create: hole })
      .extend({ left: side / 2, background: black })
      .png()
      .toBuffer();
    const fields = { ...quick, size: '128x128' as '256x256' };
    const bytes = async (more: object) => {
      const { data } = await client.images.edit({ image: await image(), ...fields, ...more });
      return decoded(data?.[0]?.b64_json).removeAlpha().raw().toBuffer();
    };
    const starter = await sharp(cottage).resize(side, side).removeAlpha().raw().toBuffer();
    const repainted = await bytes({ mask: await toFile(mask, 'mask.png', { type: 'image/png' }) });
    let left = 0;
    let right = 0;
    for (let i = 0; i < starter.length; i++) {
      const difference = Math.abs(starter[i]! - repainted[i]!);
      if (Math.floor(i / 3) % side < side / 4) left = Math.max(left, difference);
      if (Math.floor(i / 3) % side >= side / 2) right = Math.max(right, difference);
    }
    t.ok(left <= 3, `the opaque half is the starter's: ${left}`);
    t.ok(right > 30, `the other is not: ${right}`);
    const opaque = await toFile(await sharp(mask).removeAlpha().png().toBuffer(), 'mask.png', { type: 'image/png' });
    t.match(await failure(client.images.edit({ image: await image(), ...fields, mask: opaque })), {
      status: 400,
      param: 'mask',
    });
  });

  await t.test('our fields, beside its own', async (t) => {
    const ours = { seed: 5, influence: 60, guidance: 3, steps: 4, negative_prompt: 'blurry', scheduler: 'euler' };
    const { data, response } = await client.images.edit({ image: await image(), ...quick, ...ours }).withResponse();
    t.match(
      ['seed', 'influence', 'guidance', 'steps', 'scheduler'].map((name) => response.headers.get(`img2img-${name}`)),
      ['5', '60', '3', '4', 'euler'],
    );
    const again = await client.images.edit({ image: await image(), ...quick, ...ours });
    t.equal(data.data?.[0]?.b64_json, again.data?.[0]?.b64_json);
  });

  await t.test('errors are of the classes that it has for them', async (t) => {
    const edit = async (fields: object, apiKey = 'secret') =>
      failure(
        new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 }).images.edit({
          image: await image(),
          ...quick,
          ...fields,
        }),
      );
    const wrongKey = await edit({}, 'wrong');
    t.ok(wrongKey instanceof OpenAI.AuthenticationError);
    t.match(wrongKey, { status: 401, code: 'invalid_api_key' });
    const cases: [fields: object, type: new (...args: never[]) => Error, error: object][] = [
      [
        { model: 'dall-e-2' },
        OpenAI.NotFoundError,
        { code: 'model_not_found', param: 'model', message: /MODEL_ALIASES/ },
      ],
      [{ n: 9 }, OpenAI.BadRequestError, { param: 'n', message: /n is 9; it must be at most 8/ }],
      [{ response_format: 'url' }, OpenAI.BadRequestError, { param: 'response_format', message: /not stored/ }],
      [{ background: 'transparent' }, OpenAI.BadRequestError, { param: 'background', message: /opaque/ }],
      [
        { output_compression: 101 },
        OpenAI.BadRequestError,
        { param: 'output_compression', message: /compression is 101/ },
      ],
      [{ image: [await image(), await image()] }, OpenAI.BadRequestError, { message: /more than once/ }],
      [
        { size: '250x256' },
        OpenAI.UnprocessableEntityError,
        { code: 'size_not_supported', param: 'size', message: /size's width is 250/ },
      ],
      [{ image: await toFile(Buffer.alloc(400_000), 'a.png') }, OpenAI.APIError, { code: 'upload_too_large' }],
      [{ image: await toFile(Buffer.from('x'), 'a.png') }, OpenAI.APIError, { status: 415, param: 'image' }],
    ];
    for (const [fields, type, expected] of cases) {
      const error = await edit(fields);
      t.ok(error instanceof type, `${Object.keys(fields)}: ${error}`);
      t.match(error, expected);
    }
  });

  await t.test('lists the models, the generators and the aliases', async (t) => {
    const names: string[] = [];
    for await (const { id } of client.models.list()) names.push(id);
    const generators = ['paintbox-comic', 'paintbox-ink', 'paintbox-risograph', 'paintbox-stained-glass'];
    t.strictSame(names, [...engine.models.map(({ name }) => name), ...generators, 'gpt-image-1']);
    t.match(await client.models.retrieve('paintbox'), { id: 'paintbox', object: 'model' });
    t.match(await client.models.retrieve('gpt-image-1'), { id: 'gpt-image-1' });
    t.match(await failure(client.models.retrieve('dall-e-2')), { status: 404, code: 'model_not_found' });
  });

  await t.test('what is not there is told in its shape', async (t) => {
    t.match(await failure(client.images.generate({ prompt: 'a cat' })), { status: 404, code: 'not_found' });
  });
});

t.test('over the rate limit it gets a RateLimitError', async (t) => {
  const { url } = await startApp(t, { RATE_LIMIT: '1' });
  const client: Client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
  const edit = async () =>
    client.images.edit({ image: await toFile(cottage, 'a.png'), prompt: 'comic', quality: 'low' });
  await edit();
  const error = await failure(edit());
  t.ok(error instanceof OpenAI.RateLimitError);
  t.match(error, { status: 429, code: 'rate_limit_exceeded' });
});

t.test('a stream that fails on the way throws', async (t) => {
  const { url, engine } = await startApp(t);
  const client: Client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
  const ours = { steps: 150, strength: 1 };
  const image = await toFile(cottage, 'a.png');
  const stream = await client.images.edit({ image, prompt: 'comic', stream: true, ...ours });
  const read = async () => {
    for await (const event of stream) t.fail(event.type);
  };
  const reading = failure(read());
  await engine.close();
  t.match(await reading, { code: 'draining' });
});

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );
