// A transformer's folder of ONNX graphs whose parts hold no config.json, as AMD publishes them: the graphs and the family say the rest.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { exportModel } from '../../src/models-command/export.js';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { type Case, closeShare, differencesFrom, generate, maskedRequestOf } from './cases.js';
import * as flux from './flux.js';
import * as sd3 from './stable-diffusion-3.js';

const parent = t.testdir();
const parts = ['transformer', 'vae_encoder', 'vae_decoder', 'text_encoder', 'text_encoder_2', 'text_encoder_3'];
const folders: Readonly<Record<string, { write(folder: string): string; readonly cases: readonly Case[] }>> = {
  sd3: { write: (folder) => sd3.writeSd3Folder(folder, 'sd3'), cases: sd3.casesOf('sd3') },
  'flux-dev': { write: (folder) => flux.writeFluxFolder(folder, 'flux-dev'), cases: flux.casesOf('flux-dev') },
};

for (const [name, { write, cases }] of Object.entries(folders)) {
  t.test(`${name} makes diffusers' pictures`, async (t) => {
    mkdirSync(join(parent, name));
    const out = join(parent, name, 'onnx');
    const output = { print() {}, tell() {} };
    const path = write(join(parent, name, 'safetensors'));
    await exportModel({ path, out, output, signal: new AbortController().signal, freeBytes: () => 1e12 });
    for (const part of parts) rmSync(join(out, part, 'config.json'), { force: true });
    const model = await loadModel(out, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });
    for (const c of cases.slice(0, 3)) {
      const request = maskedRequestOf(c);
      const [made] = await generate(model, [request]);
      t.ok(closeShare(differencesFrom(c.pixels, made!.pixels.data, request)) >= 0.999, c.prompt);
    }
    await releaseModel(model);
  });
}
