// PyPI's webuiapi drives /sdapi. WEBUIAPI_PYTHON names a Python that has it: python3 -m venv V && V/bin/pip install webuiapi==0.9.17

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { startApp } from '../start.js';

const python = process.env.WEBUIAPI_PYTHON;
const script = fileURLToPath(new URL('webui.py', import.meta.url));
const picture = fileURLToPath(new URL('../../docs/pictures/cottage.png', import.meta.url));
const skip = !python && !process.env.REQUIRE_PROGRAMS && 'needs WEBUIAPI_PYTHON, a Python with webuiapi';

t.test('webuiapi draws, follows, interrupts and lists as with the web UI itself', { skip }, async (t) => {
  const { url, engine } = await startApp(t, { API_KEYS: 'secret' });
  const { hostname, port } = new URL(url);
  const run = promisify(execFile);
  const { stdout } = await run(python ?? 'WEBUIAPI_PYTHON is not set', [script, hostname, port, 'secret', picture]);
  const got = JSON.parse(stdout.slice(stdout.indexOf('{')));
  const { name, digest } = engine.model();
  const title = `${name} [${digest.slice(0, 10)}]`;
  t.match(got, {
    sizes: [
      [128, 128],
      [128, 128],
    ],
    seeds: [5, 6],
    same: true,
    models: [title],
    current: title,
    interrupted: true,
    refused: 401,
    memory: ['cuda', 'ram'],
    asked: [null, null],
  });
  t.match(got.infotexts[0], /^watercolor painting\nSteps: 4, Sampler: Euler a, .*Seed: 5, Size: 128x128/);
  t.ok(got.progress > 0 && got.progress <= 1);
  t.strictSame(
    got.lists.map((list: object) => (Array.isArray(list) ? list.length : Object.keys(list))),
    [1, 0, 1, 0, 0, 0, 0, 0, ['loaded', 'skipped'], ['txt2img', 'img2img'], Object.keys(got.lists.at(-1))],
  );
  for (const sampler of ['Euler a', 'DPM++ 2M']) t.ok(got.samplers.includes(sampler), sampler);
  for (const schedule of ['automatic', 'karras']) t.ok(got.schedulers.includes(schedule), schedule);
});
