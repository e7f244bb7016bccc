// What the log of a real process says, and what it never says.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { cottage, form, serviceProcess, startService } from '../start.js';

const key = 'key-that-must-not-be-logged';
const prompt = 'prompt-that-must-not-be-logged';
const quick = { steps: 1, width: 128, height: 128, seed: 1 };
const headers = {
  authorization: `Bearer ${key}`,
  'x-api-key': key,
  cookie: `session=${key}`,
  'proxy-authorization': `Basic ${key}`,
};
const json = { ...headers, 'content-type': 'application/json' };
const maxUpload = cottage.length + 1000;
const image = cottage.toString('base64');

/** Each a way for a prompt and a key to come in, with the status of its answer. */
const requests: [name: string, status: number, path: string, init: RequestInit][] = [
  ['a picture', 200, '/img2img', { headers, body: form(cottage, { ...quick, prompt, negative_prompt: prompt }) }],
  ['an unknown field', 400, '/img2img', { headers, body: form(cottage, { ...quick, prompt, [prompt]: prompt }) }],
  ['a prompt that is too long', 400, '/img2img', { headers, body: form(cottage, { prompt: prompt.repeat(100) }) }],
  ['a field of the wrong type', 400, '/img2img', { headers: json, body: JSON.stringify({ image, steps: prompt }) }],
  ['JSON that is none', 400, '/img2img', { headers: json, body: `{"prompt": "${prompt}" "${prompt}` }],
  ['a picture that is none', 415, '/img2img', { headers, body: form(Buffer.from(prompt), { prompt }) }],
  ['an unknown model', 404, '/img2img', { headers, body: form(cottage, { prompt, model: prompt }) }],
  ['too large a picture', 413, '/img2img', { headers, body: form(Buffer.alloc(maxUpload + 1, prompt), { prompt }) }],
  ['text', 415, '/img2img', { headers: { ...headers, 'content-type': 'text/plain' }, body: prompt }],
  ['another API', 415, '/sdapi/v1/img2img', { headers: json, body: JSON.stringify({ prompt, init_images: [prompt] }) }],
  ['one more', 400, '/v1/images/edits', { headers, body: form(cottage, { prompt, size: prompt }) }],
  ['a query', 404, `/nowhere?key=${key}&prompt=${prompt}`, { headers, body: '' }],
  ['a wrong key', 401, `/img2img?key=${key}`, { headers: { 'x-api-key': key }, body: form(cottage, { prompt }) }],
];

t.test('no key and no prompt is logged, whatever comes of the request', async (t) => {
  const environment = { API_KEYS: key, LOG_LEVEL: 'trace', MAX_UPLOAD_BYTES: String(maxUpload) };
  const service = await startService(t, environment);
  for (const [name, status, path, init] of requests) {
    const response = await fetch(service.url + path, { method: 'POST', ...init });
    t.equal(response.status, status, name);
    await response.arrayBuffer();
    const id = response.headers.get('x-request-id');
    await service.logged(({ reqId, msg }) => reqId === id && msg === 'request completed');
  }
  const secrets = [key, prompt, Buffer.from(key).toString('base64')];
  const leaks = service.log.filter((line) => secrets.some((secret) => JSON.stringify(line).includes(secret)));
  t.strictSame(leaks, []);
});

t.test('LOG_PROMPTS logs the prompts of a valid request in one line, and still no key', async (t) => {
  const service = await startService(t, { API_KEYS: key, LOG_LEVEL: 'trace', LOG_PROMPTS: 'true' });
  const body = form(cottage, { ...quick, prompt, negative_prompt: 'dark' });
  const response = await fetch(`${service.url}/img2img`, { method: 'POST', headers, body });
  t.equal(response.status, 200);
  const id = response.headers.get('x-request-id');
  await service.logged(({ reqId, msg }) => reqId === id && msg === 'request completed');
  const lines = service.log.filter((line) => JSON.stringify(line).includes(prompt));
  t.match(lines, [{ reqId: id, prompt, negative_prompt: 'dark', msg: 'prompt' }]);
  t.equal(lines.length, 1);
  t.notMatch(JSON.stringify(service.log), key);
});

t.test('every line of a request has its id and the ids of its trace', async (t) => {
  const service = await startService(t);
  const [trace_id, span_id] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
  const ask = async (traceparent: string) => {
    const response = await fetch(`${service.url}/img2img`, { method: 'POST', headers: { traceparent }, body: '' });
    const id = response.headers.get('x-request-id');
    await service.logged(({ reqId, msg }) => reqId === id && msg === 'request completed');
    return service.log.filter(({ reqId }) => reqId === id);
  };
  const lines = await ask(`00-${trace_id}-${span_id}-01`);
  t.strictSame(
    lines.map(({ msg }) => msg),
    ['incoming request', 'request refused', 'request completed'],
  );
  for (const line of lines) t.match(line, { trace_id, span_id }, String(line.msg));
  for (const line of await ask(`00-${trace_id}-${'0'.repeat(16)}-01`))
    t.equal(line.trace_id, undefined, 'an invalid one is ignored');
});

t.test(
  'as text, a start is one line and a greeting, and a request at most two lines, whatever comes of it',
  async (t) => {
    const { process, ended } = serviceProcess({ LOG_FORMAT: 'text', PORT: '0' });
    t.teardown(async () => {
      process.kill('SIGKILL');
      await ended;
    });
    let log = '';
    process.stdout!.setEncoding('utf8').on('data', (text) => {
      log += text;
    });
    const said = async (pattern: RegExp) => {
      while (!pattern.test(log)) await once(process.stdout!, 'data');
    };
    await said(/try {6}curl .*\n/);
    const url = /page {5}(.*)\/\n/.exec(log)![1]!;
    t.match(log, /^[^\n]*loading the models\n[^\n]*ready\n\n {2}page .*\n {2}console .*\n {2}try .*\n+$/);

    const cases: [status: number, body: FormData | string][] = [
      [200, form(cottage, { ...quick })],
      [400, form(cottage, { ...quick, steps: 0 })],
      [415, 'text'],
    ];
    for (const [status, body] of cases) {
      const before = log.length;
      const response = await fetch(`${url}/img2img`, { method: 'POST', body });
      await response.arrayBuffer();
      t.equal(response.status, status);
      while (log.length === before) await once(process.stdout!, 'data');
      await sleep(200);
      const lines = log.slice(before).trimEnd().split('\n');
      t.ok(lines.length < 3, lines.join('\n'));
      t.notMatch(log.slice(before), /^ {4}at /m, 'no stack');
    }
  },
);
