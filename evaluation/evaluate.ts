// npm run models:eval [model] [section ...]: what a model does to 200 held-out starters, through the service. Writes
// <model>.json and <model>.md beside this file; sections that are not named keep their former figures. Half an hour.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type Picture, read } from '../test/picture-statistics.js';
import { report } from './report.js';
import { type Evaluation, type Repaint, type Simulated, type Starter, sections } from './sections.js';
import { startService } from './service.js';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const [model = 'paintbox', ...wanted] = process.argv.slice(2);
for (const name of wanted) if (!(name in sections)) throw new Error(`no section ${name}: ${Object.keys(sections)}`);
const target = here(model);

const scenes = JSON.parse(readFileSync(here('starters/scenes.json'), 'utf8')) as Omit<
  Starter,
  'number' | 'bytes' | 'picture'
>[];
const starters: Starter[] = await Promise.all(
  scenes.map(async (scene, number) => {
    const bytes = await readFile(here(`starters/${String(number).padStart(3, '0')}.webp`));
    return { ...scene, number, bytes, picture: await read(bytes) };
  }),
);

/** The held-out photographs; their seeds are 1000 and on. */
const photographs: Starter[] = await Promise.all(
  (await readdir(here('photographs')))
    .filter((name) => name.endsWith('.webp'))
    .sort()
    .map(async (name, i) => {
      const bytes = await readFile(here(`photographs/${name}`));
      return { content: name, photographLike: true, number: 1000 + i, bytes, picture: await read(bytes) };
    }),
);

const simulated: Simulated = async (look) => {
  const names = (await readdir(here('simulated'))).filter((name) => name.startsWith(`${look}-`));
  return Promise.all(names.map(async (name) => read(await readFile(here(`simulated/${name}`)))));
};

const service = await startService();
let made = 0;
const started = performance.now();
const kept = new Map<string, Promise<Picture>>();
/** Each different picture is made once; the seed is the starter's number. */
const repaint: Repaint = (starter, fields) => {
  const request = { model, influence: 25, ...fields, seed: starter.number };
  const key = JSON.stringify([starter.number, request]);
  const known = kept.get(key) ?? service.repaint(starter.bytes, request);
  kept.set(key, known);
  if (kept.size > made) {
    made = kept.size;
    if (made % 50 === 0)
      console.error(`${made} pictures, ${((performance.now() - started) / made).toFixed(0)} ms each`);
  }
  return known;
};

const before = existsSync(`${target}.json`) ? (JSON.parse(readFileSync(`${target}.json`, 'utf8')) as Evaluation) : {};
const results: Evaluation = { ...before };
try {
  for (const [name, section] of Object.entries(sections)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    Object.assign(results, { [name]: await section(starters, repaint, simulated, photographs) });
    console.error(name, JSON.stringify(results[name as keyof Evaluation]));
  }
} finally {
  service.stop();
}
results.made = `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}`;
writeFileSync(`${target}.json`, `${JSON.stringify(results, null, 2)}\n`);
writeFileSync(`${target}.md`, report(model, results));
