import { connect } from 'node:net';
import t from 'tap';
import { excessOf } from '../../src/http/server/bounded-json.js';
import { cottage, form, startApp } from '../start.js';

const document = (await import('../../openapi/openapi.json', { with: { type: 'json' } })).default as unknown as {
  paths: Record<string, Record<string, { requestBody?: { content: Record<string, unknown> } }>>;
};
const posts = Object.entries(document.paths).flatMap(([path, operations]) => {
  const { post } = operations;
  if (!post) return [];
  // Where no body is described, JSON is taken and nothing of it is read.
  const types = Object.keys(post.requestBody?.content ?? { 'application/json': 0 });
  return [{ path, types, readsBody: post.requestBody !== undefined }];
});
const bodies: Record<string, string> = {
  'application/json': '{}',
  'multipart/form-data; boundary=x': '--x\r\nContent-Disposition: form-data; name="n"\r\n\r\n1000000\r\n--x--\r\n',
  'application/x-www-form-urlencoded': 'n=1000000',
  'text/plain': '{}',
  'text/json': '{}',
  'application/json-seq': '{}',
  'application/octet-stream': 'x',
  'image/jpeg': 'x',
  nonsense: 'x',
};

/** What the server says to the head of a request whose body does not come; headers as they are. */
function answerTo(url: string, head: readonly string[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(`${[...head, '', ''].join('\r\n')}`);
  return new Promise((resolve, reject) => {
    let answer = '';
    socket.on('data', (data) => {
      answer += data;
      if (/\r\n\r\n.+/s.test(answer)) {
        socket.destroy();
        resolve(answer);
      }
    });
    socket.once('error', reject);
  });
}

t.test('bodies', async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: 'test/reference', CORS_ORIGINS: 'http://example.org' });
  const post = async (path: string, body: string | FormData, headers: Record<string, string> = {}) => {
    const response = await fetch(`${url}${path}`, { method: 'POST', body, headers });
    const text = await response.text();
    return { status: response.status, text, json: JSON.parse(text), headers: response.headers };
  };
  const codeOf = (answer: { code?: string; error?: string | { code: string } }) =>
    typeof answer.error === 'object' ? answer.error.code : (answer.error ?? answer.code);

  for (const { path, types } of posts) {
    for (const [type, body] of Object.entries(bodies)) {
      if (types.includes(type.split(';')[0]!)) continue;
      await t.test(`POST ${path} as ${type} is a 415 that says what is taken`, async (t) => {
        const { status, text, json } = await post(path, body, { 'content-type': type });
        t.equal(status, 415);
        t.equal(codeOf(json), 'unsupported_media_type');
        for (const taken of types) t.ok(text.includes(taken), taken);
      });
    }
  }

  await t.test('a picture without its form is told where it goes', async (t) => {
    const { json } = await post('/img2img', 'x', { 'content-type': 'image/jpeg' });
    t.match(json.detail, /Content-Type is "image\/jpeg"; send multipart\/form-data or .*curl -F image=@picture.jpg/);
  });

  await t.test('a Content-Encoding is named', async (t) => {
    const { status, json } = await post('/img2img', 'x', {
      'content-type': 'application/json',
      'content-encoding': 'gzip',
    });
    t.equal(status, 415);
    t.match(json.detail, /Content-Encoding is "gzip"/);
  });

  const announced = ['Content-Type: application/json', 'Content-Length: 90000000'];
  for (const [line, status, code] of [
    ['OPTIONS /img2img', 204, undefined],
    ['POST /nothing', 404, 'not_found'],
    ['POST /v1/nothing', 404, 'not_found'],
    ['DELETE /img2img', 405, 'method_not_allowed'],
    ['PUT /models/paintbox', 405, 'method_not_allowed'],
    ['GET /models', 400, 'invalid_request'],
    ['GET /livez', 400, 'invalid_request'],
    ['POST /sdapi/v1/interrupt', 413, 'upload_too_large'],
    ['POST /sdapi/v1/options', 413, 'upload_too_large'],
    ['POST /img2img', 413, 'upload_too_large'],
  ] as const) {
    await t.test(`${line} with 90 MB is answered before they come`, async (t) => {
      const preflight = line.startsWith('OPTIONS')
        ? ['Origin: http://example.org', 'Access-Control-Request-Method: POST']
        : [];
      const answer = await answerTo(url, [`${line} HTTP/1.1`, 'Host: x', ...announced, ...preflight]);
      t.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
      if (code) t.match(answer, `"${code}"`);
    });
  }

  await t.test('a method that a path does not take is told with those that it takes', async (t) => {
    const response = await fetch(`${url}/img2img`);
    t.equal(response.status, 405);
    t.equal(response.headers.get('allow'), 'POST');
    t.match(await response.json(), { code: 'method_not_allowed', detail: '/img2img takes POST, not GET.' });
  });

  await t.test('two Hosts are a 400', async (t) => {
    const answer = await answerTo(url, ['GET /livez HTTP/1.1', 'Host: x', 'Host: y']);
    t.match(answer, /^HTTP\/1.1 400 /);
    t.match(answer, '"invalid_request"');
  });

  const nulls = (count: number) => `[${'null,'.repeat(count)}null]`;
  const cases: Record<string, string> = {
    'a million nulls': `{"image":"","x_field":"seed","x_values":${nulls(1_000_000)}}`,
    'a thousand nulls': `{"image":"","x_field":"seed","x_values":${nulls(1000)}}`,
    'a million keys': `{${Array.from({ length: 1_000_000 }, (_, i) => `"k${i}":1`).join(',')}}`,
    'a thousand keys': `{${Array.from({ length: 1000 }, (_, i) => `"k${i}":1`).join(',')}}`,
    'a key of a megabyte': `{"${'k'.repeat(2 ** 20)}":1}`,
    'a prompt of megabytes': `{"image":"","prompt":"${'p'.repeat(2 ** 22)}"}`,
    'escaped quotes before the rest': `{"prompt":"${'\\"'.repeat(20_000)}","x_values":${nulls(1_000_000)}}`,
    'lists in lists': `{"prompt":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
    'objects in objects': `{"prompt":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`,
    'a number of a megabyte': `{"seed":${'1'.repeat(2 ** 20)}}`,
    'spaces of megabytes': `{"seed":${' '.repeat(2 ** 22)}1}`,
    'the wrong thing': '"text"',
    'a key twice of the prototype': '{"__proto__":{"n":1}}',
  };
  for (const { path, readsBody } of posts.filter(({ types }) => types.includes('application/json'))) {
    for (const [name, body] of Object.entries(cases)) {
      await t.test(`${name} on ${path}: a short answer in its shape`, async (t) => {
        const { status, text, json } = await post(path, body, { 'content-type': 'application/json' });
        t.ok(status === 400 || status === 413 || !readsBody, `${status}`);
        t.ok(text.length < 10_000, `${text.length} characters`);
        if (status >= 400) t.ok(codeOf(json), text);
      });
    }
  }

  await t.test('many bad fields are told twenty at a time', async (t) => {
    const { json } = await post('/img2img', cases['a thousand keys']!, { 'content-type': 'application/json' });
    t.equal(json.errors.length, 20);
    t.match(json.detail, /And \d+ more\.$/);
  });

  await t.test('base64 over many lines is read as it is', async (t) => {
    const lines = cottage.toString('base64').replace(/.{76}/g, '$&\r\n');
    const fields = { steps: 2, seed: 1, width: 32, height: 32 };
    const image = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, fields) });
    const same = await fetch(`${url}/img2img`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ image: lines, ...fields }),
    });
    t.equal(same.status, 200);
    t.strictSame(Buffer.from(await same.arrayBuffer()), Buffer.from(await image.arrayBuffer()));
  });
});

t.test('what stands outside of strings is counted', (t) => {
  const picture = `"${'A'.repeat(2 ** 20)}"`;
  for (const [text, excess] of [
    [`{"image":${picture},"prompt":"a \\"b\\" c, [d]"}`, undefined],
    [`{"image":${picture}, "x_values":[1,2,3]}`, undefined],
    ['{"image":"never closed', undefined],
    ['{"prompt":"\\\\"}', undefined],
    ['['.repeat(33), /deeper than 32/],
    [`"${'['.repeat(33)}"`, undefined],
    [`[${'1,'.repeat(10_000)}1]`, /too many fields and values/],
    [`["${'\\"'.repeat(10_000)}"]`, /too many fields and values/],
    [' '.repeat(262_145), /more than 262144 bytes outside/],
  ] as const) {
    const told = excessOf(Buffer.from(text));
    if (excess) t.match(told, excess, text.slice(0, 30));
    else t.equal(told, undefined, text.slice(0, 30));
  }
  t.end();
});
