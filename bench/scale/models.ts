import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { residentMiB } from '../server.js';
import { feel, type Part, start } from './service.js';

const tiny = fileURLToPath(new URL('../../test/reference/tiny', import.meta.url));

/** Folders of models, of which one is loaded. */
export async function manyModels(): Promise<Part> {
  const rows = [];
  for (const count of [1, 50, 200]) {
    const folder = mkdtempSync(join(tmpdir(), 'img2img-models-'));
    try {
      for (let i = 0; i < count; i++) cpSync(tiny, join(folder, i === 0 ? 'tiny' : `tiny-${i}`), { recursive: true });
      const begin = performance.now();
      const server = await start(10, { MODELS_DIR: folder, PRELOAD_MODELS: 'none', DEFAULT_MODEL: 'tiny' });
      const ready = (performance.now() - begin) / 1000;
      const asked = performance.now();
      const bytes = (await (await fetch(`${server.url}/models`)).arrayBuffer()).byteLength;
      const listed = performance.now() - asked;
      rows.push({
        models: count,
        'start to ready, s': Number(ready.toFixed(1)),
        'GET /models, ms': Number(listed.toFixed(1)),
        'its answer, kB': Math.round(bytes / 1000),
        'memory of the worker, MiB': Math.round(residentMiB(server.pids()[1]!)),
        ...(await feel(server)),
      });
      await server.stop();
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  return { title: 'Models', note: 'Copies of one small folder; the first is loaded.', rows };
}
