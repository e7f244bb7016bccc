// A checkpoint in MODELS_DIR, through the whole engine.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startApp } from '../start.js';
import { requestOf } from './cases.js';
import { checkpointCases, writeSingleFile } from './checkpoints.js';
import { writeSafetensors } from './safetensors/write.js';

t.test(
  'a checkpoint is listed by its name and makes pictures; what is no model is listed with the reason',
  async (t) => {
    const modelsDir = join(t.testdir(), 'models');
    mkdirSync(modelsDir);
    writeSingleFile(join(modelsDir, 'mine.safetensors'), 'sd', 'float16');
    writeFileSync(
      join(modelsDir, 'mine.img2img.json'),
      JSON.stringify({ title: 'My model', size: { native: 64, min: 64, max: 128 } }),
    );
    const data = new Uint8Array(4);
    writeSafetensors(join(modelsDir, 'style.safetensors'), {
      'lora_unet_mid_block.lora_up.weight': { dtype: 'F32', shape: [1], data },
    });
    writeFileSync(join(modelsDir, 'old.ckpt'), 'PK');
    const { url, engine } = await startApp(t, {
      MODELS_DIR: modelsDir,
      THREADS: '1',
      CACHE_DIR: join(modelsDir, 'cache'),
    });

    const listed = (await (await fetch(`${url}/models`)).json()) as { models: Record<string, unknown>[] };
    t.match(
      listed.models.map(({ name, runnable, kind, exporter, title, reason }) => ({
        name,
        runnable,
        kind,
        exporter,
        title,
        reason,
      })),
      [
        { name: 'mine', runnable: true, kind: 'sd', exporter: 'img2img', title: 'My model' },
        { name: 'old.ckpt', runnable: false, reason: /^old\.ckpt is a pickle/ },
        { name: 'style', runnable: false, reason: /^it is a LoRA/ },
      ],
    );
    const request = requestOf(checkpointCases.find((c) => c.family === 'sd' && c.width === 64)!);
    const [picture] = await engine.generate([{ model: 'mine', request }], { signal: new AbortController().signal });
    t.equal(picture!.pixels.data.length, 3 * 64 * 64);
  },
);
