// From a checkpoint as it is downloaded to the first picture: a random single file of Stable Diffusion 1.5's dimensions (F16, 2 GB) in
// an empty MODELS_DIR, the service started on it, one request at the defaults. Reports the time, the disk and the memory.
//
//   npm run bench:checkpoint

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeRandomCheckpoint } from './checkpoints/random-checkpoint.js';
import { stableDiffusion15 } from './checkpoints/shapes.js';
import { anonymousMiB, onePicture, peakMiB, residentMiB, startServer } from './server.js';

const limits = { seconds: 60, diskShare: 0.01, memoryRatio: 1.2 };
const parent = mkdtempSync(join(tmpdir(), 'img2img-checkpoint-'));
const models = join(parent, 'models');
const cache = join(parent, 'cache');
const seconds = (since: number) => (performance.now() - since) / 1000;

async function main(): Promise<boolean> {
  for (const folder of [models, cache]) mkdirSync(folder);
  const bytes = writeRandomCheckpoint(join(models, 'random.safetensors'), stableDiffusion15);
  const picture = await onePicture();
  const load = loadavg()[0]!;

  const start = performance.now();
  const server = await startServer({ MODELS_DIR: models, CACHE_DIR: cache });
  const ready = seconds(start);
  try {
    const form = new FormData();
    form.set('image', new Blob([new Uint8Array(picture)]), 'starter.png');
    const fields = {
      width: '256',
      height: '256',
      steps: '25',
      strength: '0.75',
      guidance: '7.5',
      prompt: 'a lighthouse',
    };
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    const response = await fetch(`${server.url}/img2img`, { method: 'POST', body: form });
    if (response.status !== 200) throw new Error(`the service answered ${response.status}: ${await response.text()}`);
    await response.arrayBuffer();
    const first = seconds(start);
    const worker = server.pids()[1]!;
    const written = readdirSync(cache, { recursive: true, encoding: 'utf8' })
      .map((name) => statSync(join(cache, name)))
      .reduce((sum, stat) => sum + stat.size, 0);
    const weights = (2 * bytes) / 2 ** 20; // F16 on disk, F32 in memory
    const [resident, anonymous, peak] = [residentMiB(worker), anonymousMiB(worker), peakMiB(worker)];
    console.log(
      `${availableParallelism()} cores, Node ${process.version}; load before: ${load.toFixed(2)}; file: ${(bytes / 1e9).toFixed(2)} GB\n
| | measured | limit |
| --- | --- | --- |
| start to ready, weights read and warmed up | ${ready.toFixed(1)} s | |
| start to the first picture, 256 x 256, 18 of 25 steps, guided | ${first.toFixed(1)} s | ${limits.seconds} s |
| written to the cache | ${((100 * written) / bytes).toFixed(3)} % of the file | ${100 * limits.diskShare} % |
| resident memory of the worker, its mapped file included | ${(resident / weights).toFixed(2)} of the weights as F32 | ${limits.memoryRatio} |
| without the mapped file | ${(anonymous / weights).toFixed(2)} of the weights as F32 | |
| its peak | ${(peak / weights).toFixed(2)} of the weights as F32 | |`,
    );
    return first < limits.seconds && written < limits.diskShare * bytes && resident < limits.memoryRatio * weights;
  } finally {
    await server.stop();
  }
}

try {
  if (!(await main())) process.exitCode = 1;
} finally {
  rmSync(parent, { recursive: true });
}
