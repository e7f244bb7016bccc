import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import sharp from 'sharp';
import t from 'tap';
import { deadlineSignal } from '../../src/http/server/deadline.js';
import { form, startApp } from '../start.js';

t.test('a client that leaves while its picture is decoded is heard, on every path that makes pictures', async (t) => {
  const { url, engine } = await startApp(t, { MODELS_DIR: 'test/reference' });
  // Interlaced, so that it is decoded whole: a second or so.
  const large = await sharp({ create: { width: 7000, height: 7000, channels: 3, background: 'grey' } })
    .png({ progressive: true })
    .toBuffer();
  const decoding = async () =>
    Number(/^img2img_decode_bytes (\d+)$/m.exec(await (await fetch(`${url}/metrics`)).text())![1]);
  let admitted = 0;
  engine.on('step', () => admitted++);

  for (const path of ['/img2img', '/img2img/sheet', '/v1/images/edits']) {
    await t.test(path, async (t) => {
      const leaving = new AbortController();
      const fields = { prompt: 'x', steps: 150, ...(path.endsWith('sheet') && { x_field: 'seed', x_values: '1|2' }) };
      const request = fetch(`${url}${path}`, { method: 'POST', body: form(large, fields), signal: leaving.signal });
      request.catch(() => {});
      while ((await decoding()) === 0) await sleep(5);
      leaving.abort();
      await t.rejects(request);
      while ((await decoding()) > 0) await sleep(5);
      t.equal(engine.status.inFlight + engine.status.queueDepth, 0);
      t.equal(admitted, 0, 'nothing was computed for it');
    });
  }
});

t.test('a client that left before anybody listens, as while its body is decoded, is heard at once', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const signalOf = (raw: ServerResponse) =>
    deadlineSignal({ headers: {} } as FastifyRequest, { raw } as FastifyReply, 60_000).signal;
  const ask = async () => {
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client.on('error', () => {}).resume();
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const [, raw] = (await once(server, 'request')) as [unknown, ServerResponse];
    return { client, raw };
  };

  const early = await ask();
  early.client.destroy();
  await once(early.raw, 'close');
  t.match(signalOf(early.raw), { aborted: true, reason: { code: 'cancelled' } });

  const late = await ask();
  const signal = signalOf(late.raw);
  t.equal(signal.aborted, false, 'one that is there is not');
  late.client.destroy();
  await once(signal, 'abort');
  t.match(signal.reason, { code: 'cancelled' });

  const answered = await ask();
  answered.raw.end('done');
  await once(answered.raw, 'finish');
  answered.client.destroy();
  t.equal(signalOf(answered.raw).aborted, false, 'nor one that has its answer');
});
