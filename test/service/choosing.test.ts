// Which models a server starts with, and which one answers.

import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { writeFolder } from '../pipeline/folders.js';
import { cottage, form, startService } from '../start.js';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const folder = t.testdir();
const modelsDir = join(folder, 'models');
for (const name of ['a', 'broken', 'paintbox']) writeFolder(modelsDir, 'sd', {}, name);
rmSync(join(modelsDir, 'broken/unet/model.onnx'));
const hopeless = join(folder, 'hopeless');
mkdirSync(join(hopeless, 'broken/unet'), { recursive: true });

const settings = { DEVICES: 'cpu', THREADS: '1', MAX_CONCURRENT: '1', CACHE_DIR: join(folder, 'cache') };

/** A server that does not start. @returns its exit code, and what it says to whoever started it */
async function start(environment: Record<string, string>): Promise<[code: number | null, sentence: string]> {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, ['--import', 'tsx', main], {
    env: { PATH, HOME, PORT: '0', LOG_LEVEL: 'silent', ...settings, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let told = '';
  child.stderr.on('data', (data) => {
    told += data;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return [code, told.trim()];
}

const refused: readonly [environment: Record<string, string>, sentence: string | RegExp][] = [
  [{ MODELS_DIR: join(folder, 'away') }, `MODELS_DIR ${folder}/away does not exist.`],
  [{ MODELS_DIR: hopeless }, /^No model in MODELS_DIR can run\. broken: model_index\.json is missing\.$/],
  [
    { MODELS_DIR: modelsDir, DEFAULT_MODEL: 'broken' },
    'DEFAULT_MODEL is "broken", which cannot run: unet/model.onnx is missing, and unet/ holds no safetensors either.',
  ],
];

t.test('a server that has no models to run, or not the one that was chosen, does not start and says why', async (t) => {
  for (const [environment, sentence] of refused) {
    const [code, told] = await start(environment);
    t.equal(code, 1);
    t.match(told, sentence);
  }
});

t.test('requests that name no model get the one that was chosen, which is loaded first', async (t) => {
  const { url } = await startService(t, { ...settings, MODELS_DIR: modelsDir, DEFAULT_MODEL: 'a' });
  const { models } = (await (await fetch(`${url}/models`)).json()) as { models: Record<string, unknown>[] };
  t.strictSame(
    models.map(({ name, default: isDefault, loaded }) => [name, isDefault, loaded]),
    [
      ['a', true, true],
      ['broken', undefined, undefined],
      ['paintbox', false, false],
    ],
  );
  const fields = { steps: 1, width: 32, height: 32, prompt: 'red' };
  const answer = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, fields) });
  t.equal(answer.status, 200);
  t.equal(answer.headers.get('img2img-model'), 'a');
  const path = await fetch(`${url}/img2img`, {
    method: 'POST',
    body: form(cottage, { ...fields, model: '../models/a' }),
  });
  t.match(await path.json(), { status: 404, code: 'model_not_found' }, 'a name is no path');
});
