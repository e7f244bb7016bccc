import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { writeFolder } from '../pipeline/folders.js';
import { startApp } from '../start.js';

t.test('a replica whose models are away says why, and is ready when they are there', async (t) => {
  const modelsDir = join(t.testdir(), 'models');
  const cacheDir = join(modelsDir, '../cache');
  const { url } = await startApp(t, { MODELS_DIR: modelsDir, THREADS: '1', CACHE_DIR: cacheDir });
  const readyz = () => fetch(`${url}/readyz`);
  const response = await readyz();
  t.equal(response.status, 503);
  t.match(await response.json(), { code: 'not_ready', detail: `MODELS_DIR ${modelsDir} does not exist.` });
  writeFolder(modelsDir, 'sd');
  while ((await readyz()).status !== 200) await sleep(100);
  const models = await (await fetch(`${url}/models`)).json();
  t.match(models, { models: [{ name: 'sd', runnable: true, loaded: true }] });
});
