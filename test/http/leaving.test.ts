import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import t from 'tap';
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
