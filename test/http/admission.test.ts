import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { standIn } from '../stand-in/stand-in.js';
import { cottage, form, startApp } from '../start.js';

const slowly = standIn({ callMs: { 1: 50, 2: 50 } });
const tiny = { MODELS_DIR: 'test/reference' };

t.test('a full queue is answered before the body is sent', async (t) => {
  const { url, engine } = await startApp(t, { ...tiny, MAX_QUEUE: '0', WORKER_MODULE: slowly });
  const running = fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { steps: 100, strength: 1 }) });
  while (engine.status.inFlight === 0) await sleep(5);
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(
    'POST /img2img HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n',
  );
  const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))));
  socket.destroy();
  t.match(answer, /^HTTP\/1\.1 429 /);
  t.match(answer, /^retry-after: [1-9]\d*\r$/m);
  t.match(answer, /"code":"overloaded"/);
  t.equal(engine.status.inFlight, 1, 'while the other one still runs');
  await (await running).arrayBuffer();
});

t.test('what the device has no memory for is a 422 that says how much it needs', async (t) => {
  const { url } = await startApp(t, {
    ...tiny,
    WORKER_MODULE: standIn({ memoryBytes: 2 ** 20, bytesPerPixel: 256 }),
  });
  const post = (side: number) =>
    fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { steps: 2, width: side, height: side }) });
  const refused = await post(64);
  t.equal(refused.status, 422);
  t.match(await refused.json(), {
    code: 'too_large_for_device',
    detail: /64 x 64 pixels need about 8 MiB.*a request may use 1 MiB/,
  });
  t.equal((await post(32)).status, 200);
});

t.test('GET /models tells the row budgets that were measured', async (t) => {
  const { url } = await startApp(t, {
    ...tiny,
    MAX_CONCURRENT: '',
    WORKER_MODULE: standIn({ callMs: { 1: 60, 2: 70, 4: 140 } }),
  });
  const { models } = (await (await fetch(`${url}/models`)).json()) as { models: { row_budgets: object[] }[] };
  t.match(models[0]!.row_budgets[0], { width: 32, height: 32, rows: 2 });
});

t.test("a sheet's pictures share their starter before it is decoded as they do afterwards", async (t) => {
  // One small request runs; a starter of 64 x 64 and eight answers have 110,592 bytes, and with a starter each 196,608.
  const { url, engine } = await startApp(t, { ...tiny, WORKER_MODULE: slowly, MAX_PICTURES_BYTES: '130000' });
  const small = { steps: 100, strength: 1, width: 32, height: 32 };
  const leaving = new AbortController();
  const running = fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, small), signal: leaving.signal });
  running.catch(() => {});
  while (engine.status.inFlight === 0) await sleep(5);
  const sheet = async (x_values: string) => {
    const fields = { dry_run: 'true', width: 64, height: 64, x_field: 'seed', x_values };
    return (await fetch(`${url}/img2img/sheet`, { method: 'POST', body: form(cottage, fields) })).status;
  };
  t.equal(await sheet('1|2|3|4|5|6|7|8'), 200);
  t.equal(await sheet('1|2|3|4|5|6|7|8|9|10|11|12'), 429, 'and what is too much is refused');
  t.equal(engine.status.inFlight, 1, 'while the other one still runs');
  leaving.abort();
  await t.rejects(running);
});
