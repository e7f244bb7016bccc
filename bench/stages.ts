// npm run bench:stages -- MODELS_DIR MODEL [--side 256] [--steps 4] [--count 5] [--starter new|same]: what each stage of a request
// takes, by Server-Timing, medians; the first request is left out. For figures in results-sessions.md. Run it on an idle machine.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { median } from './figures.js';
import { startServer } from './server.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    side: { type: 'string', default: '256' },
    steps: { type: 'string', default: '4' },
    count: { type: 'string', default: '5' },
    starter: { type: 'string', default: 'new' },
  },
});
const [modelsDir, model] = positionals;
if (modelsDir === undefined || model === undefined) throw new Error('MODELS_DIR and MODEL are to be given');
const { side, steps, starter } = values;
if (starter !== 'new' && starter !== 'same') throw new Error(`--starter is ${starter}; it must be new or same`);
const photo = readFileSync(new URL('../docs/pictures/still-life.jpg', import.meta.url));

const server = await startServer({
  ...{ DEVICES: 'cpu', MODELS_DIR: resolve(modelsDir), PRELOAD_MODELS: model, DEFAULT_MODEL: model },
  REQUEST_TIMEOUT_MS: '3600000',
});
const stages: Record<string, number[]> = {};
for (let i = 0; i <= Number(values.count); i++) {
  const hue = starter === 'new' ? i * 20 : 0;
  const picture = await sharp(photo).resize(Number(side), Number(side)).modulate({ hue }).jpeg().toBuffer();
  const form = new FormData();
  form.append('image', new Blob([new Uint8Array(picture)]), 'starter.jpg');
  const fields = {
    prompt: `watercolor painting, number ${i}`,
    seed: i,
    steps,
    width: side,
    height: side,
    format: 'png',
  };
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  const answer = await fetch(`${server.url}/img2img`, { method: 'POST', body: form });
  if (!answer.ok) throw new Error(await answer.text());
  await answer.arrayBuffer();
  if (i === 0) continue;
  for (const [, stage, ms] of answer.headers.get('server-timing')!.matchAll(/(\w+);dur=([\d.]+)/g)) {
    stages[stage!] = [...(stages[stage!] ?? []), Number(ms)];
  }
}
await server.stop();
console.log(JSON.stringify(Object.fromEntries(Object.entries(stages).map(([stage, ms]) => [stage, median(ms)]))));
