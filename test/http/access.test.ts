// Who may call, from where, and with how many bytes at a time.

import { request } from 'node:http';
import t from 'tap';
import { cottage, form, startApp } from '../start.js';

const quick = { steps: 1, width: 128, height: 128, seed: 1 };

t.test('with API_KEYS every route wants a key but probes and documentation', async (t) => {
  const { url } = await startApp(t, { API_KEYS: 'first-key, second-key' });
  const status = async (method: string, path: string, authorization?: string) => {
    const headers = authorization === undefined ? {} : { authorization };
    return (await fetch(url + path, { method, headers })).status;
  };
  for (const path of ['/livez', '/readyz', '/openapi.json', '/docs', '/docs/static/swagger-ui.css', '/docs/json']) {
    t.equal(await status('GET', path), 200, `${path} is open`);
  }
  for (const [method, path] of [
    ['GET', '/models'],
    ['GET', '/metrics'],
    ['POST', '/img2img'],
    ['GET', '/nowhere'],
  ] as const) {
    t.equal(await status(method, path), 401, `${path} without a key`);
    t.equal(await status(method, path, 'Bearer wrong'), 401, `${path} with a wrong key`);
    t.equal(await status(method, path, 'Basic first-key'), 401, `${path} with another scheme`);
  }
  t.equal(await status('GET', '/models', 'Bearer first-key'), 200);
  t.equal(await status('GET', '/models', 'bearer second-key'), 200);
  const refused = await fetch(`${url}/models`);
  t.match(refused.headers.get('www-authenticate'), /^Bearer/);
  t.match(await refused.json(), { code: 'unauthorized', status: 401 });
});

t.test('RATE_LIMIT counts the requests of each address where keys are off, and says so', async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: 'test/reference', RATE_LIMIT: '1' });
  const post = () => fetch(`${url}/img2img`, { method: 'POST', body: form(undefined) });
  t.equal((await post()).status, 400);
  const refused = await post();
  t.equal(refused.status, 429);
  t.match(await refused.json(), { detail: 'This address has sent 1 requests within a minute: its limit.' });
});

t.test('RATE_LIMIT counts the requests for pictures of each key', async (t) => {
  const { url } = await startApp(t, { API_KEYS: 'one, two', RATE_LIMIT: '2' });
  const post = (key: string) =>
    fetch(`${url}/img2img`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: form(cottage, quick),
    });
  t.equal((await post('wrong')).status, 401, 'what has no key is not counted');
  t.equal((await post('one')).status, 200);
  const last = await post('one');
  t.equal(last.status, 200);
  t.equal(last.headers.get('ratelimit-limit'), '2');
  t.equal(last.headers.get('ratelimit-remaining'), '0');
  const refused = await post('one');
  t.equal(refused.status, 429);
  const seconds = Number(refused.headers.get('retry-after'));
  t.ok(seconds >= 1 && seconds <= 60, `Retry-After: ${seconds}`);
  t.match(await refused.json(), { code: 'rate_limited', detail: /^This key has sent 2 requests within a minute/ });
  t.equal((await post('two')).status, 200, 'another key has its own count');
  const models = () => fetch(`${url}/models`, { headers: { authorization: 'Bearer one' } });
  t.equal((await models()).status, 200, 'questions are free');
  t.match(
    await (await fetch(`${url}/metrics`, { headers: { authorization: 'Bearer two' } })).text(),
    /rejected_requests_total\{reason="rate_limited"\} 1/,
  );
});

t.test('the console cannot be framed, and loads nothing but its own files', async (t) => {
  const { url } = await startApp(t);
  for (const path of ['/docs', '/docs/static/swagger-ui.css']) {
    const { headers } = await fetch(url + path);
    t.match(
      headers.get('content-security-policy'),
      /default-src 'none';script-src 'self';.*frame-ancestors 'none'/,
      path,
    );
    t.match(Object.fromEntries(headers), {
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
    });
  }
});

t.test('CORS_ORIGINS lets the pages of an origin call, and read the headers of an answer', async (t) => {
  const { url } = await startApp(t, { CORS_ORIGINS: 'https://a.example', API_KEYS: 'k' });
  const preflight = (origin: string) =>
    fetch(`${url}/img2img`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });
  const allowed = await preflight('https://a.example');
  t.equal(allowed.status, 204);
  t.equal(allowed.headers.get('access-control-allow-origin'), 'https://a.example');
  t.not((await preflight('https://b.example')).headers.get('access-control-allow-origin'), 'https://b.example');
  const answer = await fetch(`${url}/img2img`, {
    method: 'POST',
    headers: { origin: 'https://a.example', authorization: 'Bearer k' },
    body: form(cottage, quick),
  });
  t.equal(answer.status, 200);
  t.match(answer.headers.get('access-control-expose-headers'), /Img2img-Seed/);
});

t.test('bodies over the total budget are refused before they are read, and those that end make room', async (t) => {
  const { url } = await startApp(t, { MAX_UPLOAD_BYTES: '330000', MAX_UPLOADS_BYTES: '1000000' });
  // Sends all of 900,000 bytes but the last ones.
  const slow = request(`${url}/img2img`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': '900000' },
  });
  const closed = new Promise((resolve) => slow.once('close', resolve).once('error', () => {}));
  slow.write(`{${' '.repeat(890_000)}`);
  let refused: Response;
  do refused = await fetch(`${url}/img2img`, { method: 'POST', body: form(Buffer.alloc(200_000)) });
  while (refused.status !== 429);
  t.equal(refused.headers.get('retry-after'), '1');
  t.match(await refused.json(), { code: 'overloaded', detail: /would pass 1000000/ });
  t.match(await (await fetch(`${url}/metrics`)).text(), /rejected_requests_total\{reason="upload_limit"\} [1-9]/);
  slow.destroy();
  await closed;
  let answer: Response;
  do answer = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, quick) });
  while (answer.status === 429);
  t.equal(answer.status, 200);
});
