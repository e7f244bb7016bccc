import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { cottage, form, startApp } from '../start.js';

const quick = { steps: 1, width: 128, height: 128, seed: 1 };
const timeouts = { HEADERS_TIMEOUT_MS: '1500', UPLOAD_TIMEOUT_MS: '3000', IDLE_TIMEOUT_MS: '2000' };
const descriptors = () => readdirSync('/proc/self/fd').length;
const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
};

/** Connections that send this and nothing more. @returns how many of them the server has closed */
async function open(t: Test, url: string, count: number, text: string): Promise<() => number> {
  let closed = 0;
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i++) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.once('close', () => closed++);
    socket.on('data', () => {});
    socket.once('connect', () => socket.write(text));
    sockets.push(socket);
  }
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  return () => closed;
}

const head = 'POST /img2img HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';

t.test(
  'clients that send headers, bodies or nothing too slowly are let go, and take nothing from the others',
  async (t) => {
    const { url } = await startApp(t, { ...timeouts, MAX_UPLOADS_BYTES: '80000000' });
    const post = () => fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, quick) });
    t.equal((await post()).status, 200);
    const before = descriptors();
    const kinds = [
      await open(t, url, 15, ''),
      await open(t, url, 15, 'POST /img2img HTTP/1.1\r\nHost: a\r\nX-Slow: '),
      await open(t, url, 15, `${head}Content-Length: 20000000\r\n\r\n{"image":"`),
      await open(t, url, 15, `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"ima`),
    ];
    let meanwhile = await post();
    while (meanwhile.status === 429) meanwhile = await post(); // until the announced bodies count with what has come of them
    t.equal(meanwhile.status, 200, 'answered meanwhile');
    await until(() => kinds.every((closed) => closed() === 15));
    await until(() => descriptors() <= before + 2);
    t.equal((await post()).status, 200, 'and afterwards');
  },
);

t.test('a client that does not read its answer is let go', async (t) => {
  const { url, app, engine } = await startApp(t, timeouts);
  const body = JSON.stringify({ image: cottage.toString('base64'), ...quick, n: 8, width: 512, height: 512 });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.pause();
  socket.on('error', () => {});
  socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
  await until(() => engine.status.inFlight > 0);
  await until(() => engine.status.inFlight === 0 && engine.status.queueDepth === 0);
  const connections = () =>
    new Promise<number>((resolve, reject) =>
      app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    );
  while ((await connections()) > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal((await fetch(`${url}/livez`)).status, 200);
});

t.test('uploads that are broken off leave nothing behind', async (t) => {
  const { url, engine } = await startApp(t, { MAX_UPLOAD_BYTES: '2000000', MAX_UPLOADS_BYTES: '6000000' });
  const post = () => fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, quick) });
  t.equal((await post()).status, 200);
  const before = descriptors();
  const { port } = new URL(url);
  const boundary = 'Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1900000\r\n\r\n';
  const part = '--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n';
  for (let i = 0; i < 20; i++) {
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), '127.0.0.1', () => {
        socket.write(`POST /img2img HTTP/1.1\r\nHost: a\r\n${boundary}${part}`);
        socket.write(Buffer.alloc(1_000_000), () => socket.destroy());
      });
      socket.on('error', () => {});
      socket.once('close', () => resolve());
    });
  }
  await until(() => descriptors() <= before + 2);
  let response = await post();
  while (response.status === 429) response = await post(); // the last one's bytes are given back when its end is seen
  t.equal(response.status, 200, 'the budget of uploads is whole');
  t.equal(engine.status.queueDepth, 0);
});
