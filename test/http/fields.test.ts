import sharp from 'sharp';
import t from 'tap';
import { Type } from 'typebox';
import { field } from '../../src/http/pictures/field.js';
import { fields } from '../../src/http/pictures/fields.js';
import { cottage, form, startApp } from '../start.js';

// A text, a number and an enum that nothing uses: what the table says of them must be enough.
const more = {
  ...fields,
  motif: field({
    schema: () => Type.String({ maxLength: 20, description: 'What is painted.' }),
    settle: (sent) => sent ?? 'trees',
    told: 'The motif',
    swept: true,
    onV1: true,
  }),
  warmth: field({
    schema: () => Type.Number({ minimum: 0, maximum: 5, default: 2, description: 'How warm.' }),
    settle: (sent, { model }) => sent ?? model.defaults.steps / 10,
    told: 'The warmth',
    swept: true,
  }),
  light: field({
    schema: () => Type.Enum(['day', 'night'], { type: 'string', description: 'When.' }),
    settle: (sent) => sent ?? 'day',
    told: 'The light',
    swept: true,
  }),
};

t.test('a new field is one entry', async (t) => {
  const { url, app } = await startApp(t, { MODELS_DIR: 'test/reference' }, more);
  const quick = { steps: 2, seed: 1, width: 32, height: 32 };
  const post = async (path: string, body: FormData | object, accept = 'application/json') => {
    const json = body instanceof FormData ? undefined : JSON.stringify({ image: cottage.toString('base64'), ...body });
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      body: json ?? (body as FormData),
      headers: { accept, ...(json && { 'content-type': 'application/json' }) },
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const isJson = response.headers.get('content-type')?.includes('json');
    return { status: response.status, headers: response.headers, bytes, json: isJson ? JSON.parse(String(bytes)) : {} };
  };
  const sent = { motif: 'a bird, two', warmth: 4.5, light: 'night' };

  for (const [name, body] of [
    ['form', form(cottage, { ...quick, ...sent })],
    ['JSON', { ...quick, ...sent }],
  ] as const) {
    await t.test(`as ${name} it comes to JSON and to headers`, async (t) => {
      const { status, json } = await post('/img2img', body);
      t.equal(status, 200);
      t.match(json.parameters, sent);
      const { headers } = await post('/img2img', body, 'image/png');
      t.equal(headers.get('img2img-motif'), 'a%20bird%2C%20two');
      t.equal(headers.get('img2img-warmth'), '4.5');
      t.equal(headers.get('img2img-light'), 'night');
    });
  }

  await t.test('what is absent is settled, by the model too', async (t) => {
    const { json } = await post('/img2img', { ...quick, dry_run: true });
    t.match(json.parameters, { motif: 'trees', warmth: 2.5, light: 'day' });
  });

  for (const [bad, detail] of [
    [{ motif: 'm'.repeat(21) }, /motif is .*; it must have at most 20 characters/],
    [{ warmth: 6 }, /warmth is 6; it must be at most 5/],
    [{ light: 'dusk' }, /light is "dusk"; it must be one of day, night/],
  ] as const) {
    await t.test(`${detail} in both forms`, async (t) => {
      for (const body of [form(cottage, bad), bad]) {
        const { status, json } = await post('/img2img', body);
        t.equal(status, 400);
        t.match(json.detail, detail);
      }
    });
  }

  await t.test('a sheet sweeps it', async (t) => {
    const axes = { x_field: 'warmth', x_values: '1|2', y_field: 'light', y_values: 'day|night' };
    const { status, json } = await post('/img2img/sheet', form(cottage, { ...quick, ...axes }));
    t.equal(status, 200, JSON.stringify(json));
    t.match(
      json.cells.map(({ parameters }: { parameters: object }) => parameters),
      [
        { warmth: 1, light: 'day' },
        { warmth: 2, light: 'day' },
        { warmth: 1, light: 'night' },
        { warmth: 2, light: 'night' },
      ],
    );
    const texts = { ...quick, x_field: 'motif', x_values: ['a tree', 'a house'] };
    const picture = await post('/img2img/sheet', texts, 'image/png');
    t.match(await sharp(picture.bytes).metadata(), { format: 'png' });
    const refused = await post('/img2img/sheet', { ...texts, x_values: ['m'.repeat(21)] });
    t.match(refused.json.detail, /Value 1 of x_values is .*; as motif it must have at most 20 characters/);
  });

  await t.test('/v1 takes it where its entry says so', async (t) => {
    const own = { prompt: 'x', steps: 2, size: '32x32' };
    const { status, headers } = await post('/v1/images/edits', form(cottage, { ...own, motif: 'a bird', warmth: 1 }));
    t.equal(status, 200);
    t.equal(headers.get('img2img-motif'), 'a%20bird');
    t.equal(headers.get('img2img-ignored-fields'), 'warmth', 'where it says nothing, it changes nothing');
  });

  await t.test('the OpenAPI document has it in both forms, in the answer and on the axes', async (t) => {
    const document = JSON.stringify(app.swagger());
    for (const text of [
      'Img2img-Motif',
      'Img2img-Warmth',
      'Img2img-Light',
      '"The motif"',
      '"How warm. From 0 to 5. Default: `2`."',
    ]) {
      t.ok(document.includes(text), text);
    }
    const { paths } = JSON.parse(document);
    const { content } = paths['/img2img'].post.requestBody;
    for (const type of ['multipart/form-data', 'application/json']) {
      const { properties } = content[type].schema;
      t.match(
        properties,
        { motif: { maxLength: 20 }, warmth: { default: 2 }, light: { enum: ['day', 'night'] } },
        type,
      );
    }
  });
});
