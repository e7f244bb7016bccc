// How a real process ends: what it still answers, and with which exit code.

import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { cottage, form, type Service, startService } from '../start.js';

/** More work than a test waits for, and time for it on however busy a machine. */
const endless = { steps: 150, strength: 1, seed: 1, width: 512, height: 512 };
const REQUEST_TIMEOUT_MS = String(24 * 3_600_000);

/** Comes back once the request is on a worker. @returns how it ends, in a list so that it is not waited for */
async function running({ url }: Service, fields: Record<string, number> = endless): Promise<Promise<unknown>[]> {
  const body = form(cottage, fields);
  let ended: unknown;
  const answer = fetch(`${url}/img2img`, { method: 'POST', body })
    .catch((error: Error) => error)
    .then((end) => {
      ended = end;
      return end;
    });
  const inFlight = async () => /^img2img_in_flight_requests 1$/m.test(await (await fetch(`${url}/metrics`)).text());
  while (!(await inFlight())) {
    if (ended instanceof Response && ended.status !== 200) throw new Error(await ended.text());
    await sleep(10);
  }
  return [answer];
}

const workerPids = ({ log }: Service) =>
  log.filter(({ msg }) => msg === 'a worker is ready').map(({ workerPid }) => Number(workerPid));

async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await sleep(10);
  }
}

/** A connection that was opened in advance, as balancers do. @returns what comes over it after `send` */
function openConnection(url: string): Promise<{ send(text: string): Promise<string> }> {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  let answer = '';
  socket.setEncoding('utf8').on('data', (text) => {
    answer += text;
  });
  const closed = new Promise<string>((resolve, reject) => {
    socket.once('close', () => resolve(answer)).once('error', reject);
  });
  const send = (text: string) => {
    socket.write(text);
    return closed;
  };
  return new Promise((resolve) => socket.once('connect', () => resolve({ send })));
}

async function listens(url: string): Promise<boolean> {
  const { port, hostname } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

t.test('what comes over an open connection while the server closes is answered by the server itself', async (t) => {
  const service = await startService(t, { DRAIN_DELAY_MS: '0', REQUEST_TIMEOUT_MS });
  const [other, readiness] = [await openConnection(service.url), await openConnection(service.url)];
  const [first] = await running(service, { ...endless, width: 128, height: 128 });
  service.process.kill('SIGTERM');
  while (await listens(service.url)) await sleep(10);

  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: img2img\r\n\r\n`;
  const probed = await readiness.send(get('/readyz'));
  t.match(probed, /^HTTP\/1\.1 503 /);
  t.match(probed, /^content-type: application\/problem\+json/im, "not Fastify's own document");
  t.match(probed, /^connection: close/im);
  t.match(JSON.parse(probed.split('\r\n\r\n')[1]!), { status: 503, code: 'draining' });
  const models = await other.send(get('/models'));
  t.match(models, /^HTTP\/1\.1 200 /, 'other requests are served to the end');
  t.match(models, /^connection: close/im);
  t.match(await first, { status: 200 }, 'so is what ran');
  t.equal(await service.ended, 0);
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`a second ${signal} ends the process at once, with an error's exit code and without workers`, async (t) => {
    const service = await startService(t, {
      DRAIN_DELAY_MS: '600000',
      DRAIN_DEADLINE_MS: '600000',
      REQUEST_TIMEOUT_MS,
    });
    const [answer] = await running(service);
    service.process.kill(signal);
    await service.logged(({ msg }) => /^draining/.test(String(msg)));
    service.process.kill(signal);
    t.equal(await service.ended, 1);
    t.type(await answer, Error, 'what ran is lost');
    await Promise.all(workerPids(service).map(gone));
  });
}

t.test('the drain deadline ends the process in any case, with an error and without workers', async (t) => {
  const service = await startService(t, { DRAIN_DELAY_MS: '0', DRAIN_DEADLINE_MS: '300', REQUEST_TIMEOUT_MS });
  const [answer] = await running(service);
  service.process.kill('SIGTERM');
  t.equal(await service.ended, 1);
  t.type(await answer, Error);
  await Promise.all(workerPids(service).map(gone));
});
