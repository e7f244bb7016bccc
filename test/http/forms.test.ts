// How clients write what they send: form parts, booleans, base64, addresses, null.

import { connect } from 'node:net';
import t from 'tap';
import { cottage, form, startApp } from '../start.js';

t.test('what clients send in other ways', async (t) => {
  const { url, engine } = await startApp(t, { MODELS_DIR: 'test/reference' });
  const quick = { steps: 2, seed: 1, width: 32, height: 32 };
  const post = async (body: FormData | string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${url}/img2img`, { method: 'POST', body, headers });
    return { status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) };
  };
  const json = (body: object) => post(JSON.stringify(body), { 'content-type': 'application/json' });
  const detail = ({ bytes }: { bytes: Buffer }) => JSON.parse(String(bytes)).detail;
  const expected = (await post(form(cottage, quick))).bytes;

  await t.test('a part needs no filename and no type', async (t) => {
    for (const more of ['', '\r\nContent-Type: image/png', '\r\nContent-Type: application/octet-stream']) {
      const fields = Object.entries(quick).map(([name, value]) => part(name, Buffer.from(String(value))));
      const body = Buffer.concat([...fields, part('image', cottage, more), Buffer.from('--x--\r\n')]);
      const { status, bytes } = await post(body as never, { 'content-type': 'multipart/form-data; boundary=x' });
      t.equal(status, 200, more);
      t.strictSame(bytes, expected);
    }
  });

  await t.test('booleans of browsers, Python and shells', async (t) => {
    for (const [text, dry] of [
      ...['true', 'True', 'TRUE', '1', 'on', 'On'].map((text) => [text, true] as const),
      ...['false', 'False', '0', 'off', 'OFF', ''].map((text) => [text, false] as const),
    ]) {
      const { status, headers } = await post(form(cottage, { ...quick, dry_run: text }));
      t.equal(status, 200, text);
      t.equal(headers.get('content-type')?.includes('json'), dry, text);
    }
    t.match(detail(await post(form(cottage, { dry_run: 'perhaps' }))), 'dry_run is "perhaps"; it must be a boolean.');
  });

  await t.test('base64 in both alphabets, and as a data: URI', async (t) => {
    const plain = cottage.toString('base64');
    const safe = cottage.toString('base64url');
    for (const image of [
      plain,
      safe,
      `${safe}==`.slice(0, plain.length),
      `data:image/png;base64,${plain}`,
      `data:;base64,${safe}`,
    ]) {
      t.strictSame((await json({ image, ...quick })).bytes, expected, image.slice(0, 30));
    }
    for (const image of ['not base64!', 'data:image/png,abc', '=abc']) {
      t.match(detail(await json({ image })), /image must be a picture as base64/, image);
    }
  });

  await t.test('an address is not fetched, and says so', async (t) => {
    for (const address of ['http://example.org/a.png', 'HTTPS://example.org/a.png']) {
      t.match(detail(await json({ image: address })), /image is the address of a picture; nothing is fetched here/);
      const text = new FormData();
      text.append('image', address);
      t.match(detail(await post(text)), /image is the address of a picture/);
    }
    const text = new FormData();
    text.append('image', cottage.toString('base64'));
    t.match(detail(await post(text)), 'image is a text field; it must be a file.');
  });

  await t.test('null is absent', async (t) => {
    const nothing = { prompt: null, strength: null, seed: 1, mask: null, n: null, format: null };
    t.strictSame((await json({ image: cottage.toString('base64'), ...quick, ...nothing })).bytes, expected);
  });

  await t.test('weights and LoRAs are read as words, and that is told', async (t) => {
    for (const [prompt, told] of [
      ['a (red:1.3) house', true],
      ['a house <lora:style:0.8>', true],
      ['a house (see: this)', false],
      ['a (red) house [old], 3:2', false],
    ] as const) {
      const { headers } = await post(form(cottage, { ...quick, prompt }));
      t.equal(headers.get('img2img-warnings')?.includes('prompt_syntax_unused') ?? false, told, prompt);
    }
  });

  await t.test('a client that closes its writing side has left', async (t) => {
    const { hostname, port } = new URL(url);
    const body = JSON.stringify({
      image: cottage.toString('base64'),
      ...quick,
      steps: 150,
      strength: 1,
      width: 64,
      height: 64,
    });
    const socket = connect(Number(port), hostname);
    const head = [
      'POST /img2img HTTP/1.1',
      'Host: x',
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
    ];
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
    await new Promise((resolve) => socket.resume().once('close', resolve));
    while (engine.status.inFlight + engine.status.queueDepth > 0)
      await new Promise((resolve) => setTimeout(resolve, 5));
    t.pass('its work is freed');
  });

  await t.test('an upload that its client breaks off is no refusal', async (t) => {
    const { hostname, port } = new URL(url);
    const rejected = async () =>
      /rejected_requests_total\{reason="invalid"\} (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())?.[1];
    const left = async () =>
      /http_requests_total\{route="\/img2img",method="POST",status="499"\} (\d+)/.exec(
        await (await fetch(`${url}/metrics`)).text(),
      )?.[1];
    const before = [await rejected(), await left()];
    for (const type of ['application/json', 'multipart/form-data; boundary=x']) {
      const socket = connect(Number(port), hostname);
      const head = ['POST /img2img HTTP/1.1', 'Host: x', `Content-Type: ${type}`, 'Content-Length: 100000'];
      socket.write(
        `${head.join('\r\n')}\r\n\r\n${type.includes('json') ? '{"image":"' : String(part('image', cottage)).slice(0, 300)}`,
      );
      await new Promise((resolve) => setTimeout(resolve, 100));
      socket.destroy();
    }
    while (Number(await left()) < Number(before[1] ?? 0) + 2) await new Promise((resolve) => setTimeout(resolve, 20));
    t.equal(await rejected(), before[0]);
  });
});

function part(name: string, bytes: Buffer, more = ''): Buffer {
  return Buffer.concat([
    Buffer.from(`--x\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ]);
}
