// Files of models that change while the service runs on them.

import { copyFileSync, cpSync, mkdirSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { writeSingleFile } from '../pipeline/checkpoints.js';
import { writeFolder } from '../pipeline/folders.js';
import { cottage, form, startService } from '../start.js';

const fields = { model: 'mine', prompt: 'a red bottle', steps: 2, seed: 1, width: 64, height: 64 };

interface Listed {
  readonly name: string;
  readonly runnable: boolean;
  readonly reason?: string;
  readonly digest?: string;
}

t.test(
  'a checkpoint that is written over or truncated is refused until it is whole, and its file kills nobody',
  async (t) => {
    const folder = t.testdir();
    const modelsDir = join(folder, 'models');
    mkdirSync(modelsDir);
    const whole = writeSingleFile(join(folder, 'whole.safetensors'), 'sd');
    const other = writeSingleFile(join(folder, 'other.safetensors'), 'sd', 'float16');
    const file = join(modelsDir, 'mine.safetensors');
    copyFileSync(whole, file);
    writeFileSync(join(modelsDir, 'mine.img2img.json'), JSON.stringify({ size: { native: 64, min: 64, max: 128 } }));
    const {
      url,
      log,
      process: server,
    } = await startService(t, {
      MODELS_DIR: modelsDir,
      CACHE_DIR: join(folder, 'cache'),
      THREADS: '1',
    });
    const post = (more: Record<string, number> = {}) =>
      fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { ...fields, ...more }) });
    const picture = async () => {
      const answer = await post();
      if (answer.status !== 200) throw new Error(await answer.text());
      return Buffer.from(await answer.arrayBuffer());
    };
    const mine = async () => {
      const { models } = (await (await fetch(`${url}/models`)).json()) as { models: Listed[] };
      return models.find(({ name }) => name === 'mine');
    };
    const listedAs = async (runnable: boolean, reason = /^/) => {
      for (let model = await mine(); ; model = await mine()) {
        if (model?.runnable === runnable && reason.test(model.reason ?? '')) return;
        await sleep(50);
      }
    };
    const before = await picture();
    const changing = {
      code: 'model_changing',
      detail:
        'The model mine cannot run now: mine.safetensors changed while the model was loaded; it is read again when its files stand still.',
    };

    const running = post({ steps: 150, strength: 1 });
    const inFlight = async () => /^img2img_in_flight_requests 1$/m.test(await (await fetch(`${url}/metrics`)).text());
    let ended = false;
    running.finally(() => {
      ended = true;
    });
    while (!ended && !(await inFlight())) await sleep(10);
    writeFileSync(file, Buffer.alloc(1000), { flag: 'r+' });
    const interrupted = await running;
    t.equal(interrupted.status, 503, 'what runs on it ends at the next step');
    t.equal(interrupted.headers.get('retry-after'), '5');
    t.match(await interrupted.json(), changing);
    await listedAs(false, /^it cannot be read: its header/);
    t.match(
      await (await post()).json(),
      { code: 'not_ready' },
      'what stands still and is broken does not come back by itself',
    );
    copyFileSync(whole, file);
    await listedAs(true);
    t.ok(before.equals(await picture()), 'whole again, the same picture');

    truncateSync(file, 1_000_000);
    t.match(await (await post()).json(), { code: /^(model_changing|not_ready)$/ });
    await listedAs(false, /truncated/);
    copyFileSync(whole, file);
    await listedAs(true);
    t.ok(before.equals(await picture()));

    const { digest } = (await mine())!;
    cpSync(other, `${file}.part`);
    renameSync(`${file}.part`, file);
    server.kill('SIGHUP');
    for (let now = await mine(); now?.digest === digest || !now?.runnable; now = await mine()) await sleep(50);
    t.notOk(before.equals(await picture()), 'what was renamed into its place is served');
    t.strictSame(
      log.filter(({ msg }) => /ended/.test(String(msg))),
      [],
      'no worker has ended',
    );
  },
);

t.test(
  'a checkpoint that is truncated inside a call costs its worker, and neither the service nor another model',
  async (t) => {
    const folder = t.testdir();
    const modelsDir = join(folder, 'models');
    mkdirSync(modelsDir);
    const whole = writeSingleFile(join(folder, 'whole.safetensors'), 'sd');
    const file = join(modelsDir, 'mine.safetensors');
    copyFileSync(whole, file);
    writeFileSync(join(modelsDir, 'mine.img2img.json'), JSON.stringify({ size: { native: 64, min: 64, max: 128 } }));
    writeFolder(modelsDir, 'lcm', {}, 'other');
    // Between the look at the file and the UNet's reading of its pages there is no moment that a test could meet from outside.
    const module = join(folder, 'truncating.mjs');
    writeFileSync(
      module,
      `import { truncateSync } from 'node:fs';
    export default (device) => ({
      ...device,
      denoise(model, generations) {
        if (generations.some(({ request }) => request.prompt === 'truncate')) truncateSync(${JSON.stringify(file)}, 200_000);
        return device.denoise(model, generations);
      },
    });`,
    );
    const { url, logged } = await startService(t, {
      MODELS_DIR: modelsDir,
      CACHE_DIR: join(folder, 'cache'),
      WORKER_MODULE: module,
      THREADS: '1',
    });
    const post = (more: Record<string, string | number>) =>
      fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { ...fields, ...more }) });
    const picture = Buffer.from(await (await post({})).arrayBuffer());
    const refused = await post({ prompt: 'truncate' });
    t.equal(refused.status, 503);
    t.match(await refused.json(), { code: 'model_changing', detail: /mine.*truncated/ });
    t.match(await logged(({ msg }) => /ended/.test(String(msg))), { reason: 'signal' });
    t.equal((await post({ model: 'other' })).status, 200);
    copyFileSync(whole, file);
    let again = await post({});
    for (; again.status !== 200; again = await post({})) await sleep(50);
    t.ok(picture.equals(Buffer.from(await again.arrayBuffer())), 'whole again, the same picture');
  },
);

t.test('SIGHUP and files that come are noticed at once', async (t) => {
  const modelsDir = join(t.testdir(), 'models');
  writeFolder(modelsDir, 'sd', {}, 'a');
  const service = await startService(t, {
    MODELS_DIR: modelsDir,
    CACHE_DIR: join(modelsDir, '../cache'),
    THREADS: '1',
  });
  const names = async () => {
    const { models } = (await (await fetch(`${service.url}/models`)).json()) as { models: Listed[] };
    return models.map(({ name }) => name);
  };
  writeFolder(modelsDir, 'lcm', {}, 'b');
  while ((await names()).length < 2) await sleep(50);
  t.strictSame(await names(), ['a', 'b']);
  service.process.kill('SIGHUP');
  await service.logged(({ msg }) => msg === 'SIGHUP: looking at the models');
  t.equal((await fetch(`${service.url}/readyz`)).status, 200, 'it goes on');
});
