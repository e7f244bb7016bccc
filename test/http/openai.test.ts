import t from 'tap';
import { sizeAsked } from '../../src/http/openai/size.js';
import { cottage, form, startApp } from '../start.js';

const image_url = `data:image/png;base64,${cottage.toString('base64')}`;
const quick = { prompt: 'x', steps: 1, size: '32x32', seed: 7 };
const inJson = { ...quick, images: [{ image_url }] };

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly error: { message: string; param: string; code: string };
  readonly data: { b64_json: string; seed: number }[];
}

t.test('POST /v1/images/edits', async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: 'test/reference', MODEL_ALIASES: 'gpt-image-1=tiny', MAX_N: '3' });
  const post = async (body: FormData | object): Promise<Answer> => {
    const json = !(body instanceof FormData);
    const response = await fetch(`${url}/v1/images/edits`, {
      method: 'POST',
      body: json ? JSON.stringify(body) : body,
      ...(json && { headers: { 'content-type': 'application/json' } }),
    });
    return { status: response.status, headers: response.headers, ...((await response.json()) as object) } as Answer;
  };
  const ignored = ({ headers }: Answer) => headers.get('img2img-ignored-fields');

  await t.test('JSON makes what the form makes', async (t) => {
    const ofForm = await post(form(cottage, quick));
    const ofJson = await post({ ...inJson, n: null, mask: null, user: null });
    t.equal(ofJson.status, 200);
    t.strictSame(ofJson.data, ofForm.data);
    t.equal(ofJson.data[0]!.seed, 7);
    const listed = new FormData();
    listed.append('image[]', new Blob([cottage]), 'a.png');
    for (const [name, value] of Object.entries(quick)) listed.append(name, String(value));
    t.strictSame((await post(listed)).data, ofForm.data, 'image[] is the same part');
  });

  const example = /"image_url": "data:image\/png;base64,…"/;
  const references: [body: object, param: string, message: RegExp][] = [
    [{ images: undefined }, 'images', /images is missing/],
    [{ images: [] }, 'images', /images has 0 entries; one picture is taken/],
    [{ images: [{ image_url }, { image_url }] }, 'images', /images has 2 entries; one picture is taken/],
    [{ images: image_url }, 'images', example],
    [{ images: { image_url } }, 'images', example],
    [{ images: [image_url] }, 'images[0]', example],
    [{ images: [null] }, 'images[0]', example],
    [{ images: [{}] }, 'images[0].image_url', /is missing/],
    [{ images: [{ image_url: { url: image_url } }] }, 'images[0].image_url', /is an object/],
    [{ images: [{ image_url: 7 }] }, 'images[0].image_url', /is 7/],
    [{ images: [{ file_id: 'file-1' }] }, 'images[0].file_id', /no files are stored/],
    [{ images: [{ image_url: cottage.toString('base64') }] }, 'images[0].image_url', /is no URL/],
    ...['http', 'https', 'HTTPS', 'file', 'ftp', 'blob', 's3'].map((scheme): [object, string, RegExp] => [
      { images: [{ image_url: `${scheme}://127.0.0.1:1/a.png` }] },
      'images[0].image_url',
      new RegExp(`scheme ${scheme.toLowerCase()}:, and nothing is fetched`),
    ]),
    [{ images: [{ image_url: 'data:image/png;base64,%%%' }] }, 'images', /base64/],
    [{ images: [{ image_url: 'data:image/png,abc' }] }, 'images', /base64/],
    [{ image: cottage.toString('base64') }, 'image', /in JSON send "images"/],
    [{ mask: image_url }, 'mask', example],
    [{ mask: [{ image_url }] }, 'mask', example],
    [{ mask: { file_id: 'file-1' } }, 'mask.file_id', /no files are stored/],
    [{ mask: { image_url: 'https://127.0.0.1:1/a.png' } }, 'mask.image_url', /nothing is fetched/],
  ];
  for (const [body, param, message] of references) {
    await t.test(`${JSON.stringify(body).slice(0, 60)}: a 400 that says what to send`, async (t) => {
      const { status, error } = await post({ ...inJson, ...body });
      t.equal(status, 400);
      t.match(error, { param, message });
      t.ok(error.message.length < 400);
    });
  }

  const limits: [field: string, value: unknown, message: RegExp][] = [
    ['n', 4, /n is 4; it must be at most 3/],
    ['n', 3_000_000, /n is 3000000; it must be at most 3/],
    ['n', 0, /n is 0; it must be at least 1/],
    ['steps', 151, /steps is 151; it must be at most 150/],
    ['steps', 2.5, /steps is 2.5; it must be an integer/],
    ['strength', 5, /strength is 5; it must be at most 1/],
    ['guidance', 31, /guidance is 31; it must be at most 30/],
    ['influence', -1, /influence is -1; it must be at least 0/],
    ['seed', 'NaN', /seed is "NaN"; it must be an integer/],
    ['seed', 2 ** 32, /seed is 4294967296; it must be at most 4294967295/],
    ['output_compression', 101, /output_compression is 101; it must be at most 100/],
    ['partial_images', 4, /partial_images is 4; it must be at most 3/],
    ['quality', 'best', /quality is "best"; it must be one of/],
    ['output_format', 'avif', /output_format is "avif"; it must be one of/],
    ['prompt', 'p'.repeat(2001), /prompt is .*; it must have at most 2000 characters/],
    ['scheduler', 'none', /scheduler is "none"; it must be one of/],
    ['stream', 'maybe', /stream is "maybe"; it must be a boolean/],
  ];
  for (const [field, value, message] of limits) {
    await t.test(`${field} ${String(value).slice(0, 20)} is a 400 in both body forms`, async (t) => {
      for (const body of [form(cottage, { ...quick, [field]: String(value) }), { ...inJson, [field]: value }]) {
        const { status, error } = await post(body);
        t.equal(status, 400);
        t.match(error, { param: field, message });
      }
    });
  }

  for (const [size, status, told] of [
    ['33x32', 422, "size's width is 33; it must be a multiple of 4. The nearest: 32 and 36."],
    ['32x1000', 422, "size's height is 1000; this model makes 32 to 64, in steps of 4."],
    ['64x64', 200, null],
    ['1024x1024', 200, 'size_adjusted'],
  ] as const) {
    await t.test(`size ${size}: ${told ?? 'made as it is'}`, async (t) => {
      for (const body of [form(cottage, { ...quick, size }), { ...inJson, size }]) {
        const answer = await post(body);
        t.equal(answer.status, status);
        if (status === 422) t.match(answer.error, { param: 'size', message: told });
        else {
          t.equal(answer.headers.get('img2img-size'), '64x64');
          t.equal(/size_adjusted/.exec(answer.headers.get('img2img-warnings') ?? '')?.[0] ?? null, told);
        }
      }
    });
  }

  await t.test('the starter is called as its body form calls it', async (t) => {
    const broken = 'data:image/png;base64,AAAA';
    t.match(await post({ ...inJson, images: [{ image_url: broken }] }), { status: 415, error: { param: 'images' } });
    t.match(await post(form(Buffer.from('x'), quick)), { status: 415, error: { param: 'image' } });
    t.match(await post({ ...inJson, mask: { image_url: broken } }), { status: 415, error: { param: 'mask' } });
    t.match(await post(form(undefined, quick)), { status: 400, error: { param: 'image' } });
  });

  await t.test('only what was sent and had no effect is named', async (t) => {
    t.equal(ignored(await post(form(cottage, quick))), null);
    t.equal(ignored(await post(inJson)), null);
    const future = { moderation: 'low', complexity: 'high', 'next field': 'é', fit: 'fill' };
    const named = 'user, partial_images, output_compression, moderation, complexity, next%20field, fit';
    const sent = { ...future, user: 'u', partial_images: 1, output_compression: 5 };
    t.equal(ignored(await post(form(cottage, { ...quick, ...sent }))), named);
    t.equal(ignored(await post({ ...inJson, ...sent })), named);
    t.equal(ignored(await post({ ...inJson, moderation: null })), null, 'null is absent');
    const odd = { constructor: 1, toString: { a: [1] }, '\ud800': 1 };
    t.equal(ignored(await post({ ...inJson, ...odd })), 'constructor, toString, %EF%BF%BD');
  });

  await t.test('many and long names are told briefly, and a file of a name that is none is left', async (t) => {
    const many = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`field_${i}`, 'x']));
    for (const body of [form(cottage, { ...quick, ...many }), { ...inJson, ...many }]) {
      const answer = await post(body);
      t.equal(answer.status, 200);
      t.match(ignored(answer), /^field_0, .*, field_19, \+5$/);
    }
    const long = await post({ ...inJson, ['é'.repeat(5000)]: 1 });
    t.equal(ignored(long)!.length, 600);
    const withFile = form(cottage, quick);
    withFile.append('reference', new Blob([cottage]), 'b.png');
    t.match(ignored(await post(withFile)), 'reference');
  });

  await t.test('an unknown model says where other names come from', async (t) => {
    for (const model of ['dall-e-2', 'gpt-image-2']) {
      const { status, error } = await post({ ...inJson, model });
      t.equal(status, 404);
      t.match(error, { param: 'model', code: 'model_not_found', message: /MODEL_ALIASES=gpt-image-1=/ });
    }
    t.equal((await post({ ...inJson, model: 'gpt-image-1' })).status, 200);
  });

  await t.test('needless slashes in the path are none', async (t) => {
    for (const path of ['/v1//models', '//v1/models/', '/v1/models/tiny/', '/v1/models/?x=/']) {
      t.equal((await fetch(url + path)).status, 200, path);
    }
    t.equal((await fetch(`${url}/models//`)).status, 404, 'our own paths stand as they are');
  });
});

t.test("sizes of OpenAI's on models that make others", async (t) => {
  const paintbox = { native: 256, multiple: 32, min: 128, max: 512 };
  const sdxl = { native: 1024, multiple: 8, min: 512, max: 2048 };
  const fixed = { native: 512, multiple: 512, min: 512, max: 512 };
  const most = 4_194_304;
  for (const [asked, sizes, maxPixels, expected] of [
    ['auto', paintbox, most, undefined],
    ['256x256', paintbox, most, '256x256'],
    ['1024x1024', paintbox, most, '512x512 adjusted'],
    ['1536x1024', paintbox, most, '512x352 adjusted'],
    ['1024x1536', paintbox, most, '352x512 adjusted'],
    ['1792x1024', paintbox, most, '512x288 adjusted'],
    ['1024x1024', paintbox, 100_000, '288x288 adjusted'],
    ['250x256', paintbox, most, '250x256'],
    ['2000x2000', paintbox, most, '2000x2000'],
    ['256x256', sdxl, most, '512x512 adjusted'],
    ['1536x1024', sdxl, most, '1536x1024'],
    ['1792x1024', fixed, most, '512x512 adjusted'],
    ['1024x1024', fixed, 1, '512x512 adjusted'],
  ] as const) {
    const { size, adjusted } = sizeAsked(asked, sizes, maxPixels);
    t.equal(size && `${size.width}x${size.height}${adjusted ? ' adjusted' : ''}`, expected, asked);
  }
});
