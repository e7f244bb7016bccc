// What `npm run bench:large` does at Stable Diffusion 1.5's dimensions, at an eighth of its widths.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { writeStableDiffusion } from '../../bench/graphs/stable-diffusion.js';
import { decode, denoise, isDone, prepare } from '../../src/pipeline/img2img.js';
import { loadModel } from '../../src/pipeline/model.js';

const small = { unet: [40, 80, 160, 160], heads: 8, groups: 8, text: [128, 12], vae: [16, 32, 64, 64] } as const;

const anonymousMiB = () => Number(/RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024;

t.test(
  "a folder of Stable Diffusion's topology with external data loads, runs and unloads, again and again",
  async (t) => {
    const folder = join(t.testdir(), 'model');
    const parameters = writeStableDiffusion(folder, small);
    t.ok(parameters > 12e6 && parameters < 16e6, `${parameters} parameters`);
    const pixels = { data: new Uint8Array(3 * 64 * 64).fill(100), width: 64, height: 64 };
    const request = { pixels, prompt: 'red', negativePrompt: '', strength: 1, guidanceScale: 7.5, steps: 2, seed: 1 };
    const pictures: Uint8Array[] = [];
    const after: number[] = [];
    for (let i = 0; i < 4; i++) {
      const model = await loadModel(folder, { provider: 'cpu', threads: 1, cacheDir: join(folder, 'cache') });
      t.match(model.folder, { vaeScale: 8, size: { multiple: 64 }, exporter: 'optimum-onnx', precision: 'fp32' });
      t.ok(model.sessions.unet!.shapeOf('timestep').length === 1, 'its scalar timestep is patched');
      const generations = await prepare(model, [{ ...request, scheduler: 'ddim' }]);
      while (!isDone(generations[0]!)) await denoise(model, generations);
      pictures.push((await decode(model, generations))[0]!.data);
      for (const session of Object.values(model.sessions)) await session.release();
      after.push(anonymousMiB());
    }
    for (const picture of pictures) t.strictSame(picture, pictures[0]);
    // The weights are 80 MiB; what three more loads leave behind is less than one of them.
    t.ok(after[3]! - after[0]! < 80, `anonymous memory after each unload: ${after.map(Math.round).join(', ')} MiB`);
  },
);
