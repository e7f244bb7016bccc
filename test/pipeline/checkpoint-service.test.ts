// A checkpoint in MODELS_DIR, through the whole engine.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startApp } from '../start.js';
import { requestOf } from './cases.js';
import { checkpointCases, configsOf, tensorsOf, writeSingleFile } from './checkpoints.js';
import { writeSafetensors } from './safetensors/write.js';

t.test(
  'a checkpoint is listed by its name and makes pictures; what is no model is listed with the reason',
  async (t) => {
    const modelsDir = join(t.testdir(), 'models');
    mkdirSync(modelsDir);
    writeSingleFile(join(modelsDir, 'mine.safetensors'), 'sd', 'float16');
    writeFileSync(
      join(modelsDir, 'mine.img2img.json'),
      JSON.stringify({ title: 'My model', size: { native: 64, min: 64, max: 128 }, tiny_vae: { path: 'tiny' } }),
    );
    mkdirSync(join(modelsDir, 'tiny'));
    const tiny = tensorsOf('sd-taesd', 'vae', 'float16');
    writeSafetensors(join(modelsDir, 'tiny/diffusion_pytorch_model.safetensors'), tiny);
    writeFileSync(join(modelsDir, 'tiny/config.json'), JSON.stringify(configsOf('sd-taesd')['vae/config.json']));
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
        { name: 'tiny', runnable: false, reason: /^it is a tiny autoencoder/ },
      ],
    );
    t.match(listed.models[0], {
      precision: 'fp32',
      parts: [
        ...['text_encoder', 'unet', 'vae_encoder', 'vae_decoder', 'tiny_decoder'].map((part) => ({
          ...{ part, format: 'safetensors', weights: ['fp16'], computes: 'fp32' },
        })),
      ],
    });
    const request = requestOf(checkpointCases.find((c) => c.family === 'sd' && c.width === 64)!);
    const previews: number[] = [];
    const [picture] = await engine.generate([{ model: 'mine', request }], {
      signal: new AbortController().signal,
      preview: true,
      onProgress: (progress) => {
        if (progress.phase === 'running' && progress.preview) previews.push(progress.preview.width);
      },
    });
    t.equal(picture!.pixels.data.length, 3 * 64 * 64);
    t.ok(previews.length > 0);
    t.ok(
      previews.every((width) => width === 16),
      'by the tiny autoencoder, which gives more than a pixel for each latent',
    );
  },
);
