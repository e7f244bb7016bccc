// npm run bench:peers -- FOLDER [--only NAME,...] [--scale 0.1]: the service beside what people would use instead, each set up as its
// own README says, in FOLDER. Every request has a starter, a prompt and a seed of its own. Writes results-peers.md and .json,
// where what is not measured again stays.
// Run it on an idle machine. NAME: paintbox, paintbox-lcm, sd15, sd15-512, sd15-load. FOLDER takes about 25 GB, and is kept.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeResults } from './figures.js';
import { measure, type Plan } from './peers/measure.js';
import { type Result, report } from './peers/report.js';
import { peerNames } from './peers/servers.js';
import { randomModel } from './peers/setup.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string', default: 'paintbox,paintbox-lcm,sd15,sd15-512,sd15-load' },
    scale: { type: 'string', default: '1' },
    peers: { type: 'string', default: peerNames.join(',') },
  },
});
const [folder] = positionals;
if (folder === undefined) throw new Error('the first argument is a folder for the peers');
const work = resolve(folder);
mkdirSync(work, { recursive: true });
const scale = Number(values.scale);
if (!(scale > 0)) throw new Error(`--scale is ${values.scale}; it must be a number above 0`);
const wanted = values.only.split(',');
const peers = peerNames.filter((name) => values.peers.split(',').includes(name));

/** Eight clients, and an open loop at 80 % of a peer's own capacity. */
const small = { alone: 20, again: 10, clients: 8, together: 40, open: 40 };
/** Few steps, as a random model of that size takes seconds for each. */
const likeSd15 = {
  model: () => randomModel(work),
  ...{ scheduler: 'euler', side: 256, steps: 4, strength: 1, guidance: 7.5 },
};
const plans: readonly (Omit<Plan, 'model'> & { readonly model: () => Plan['model'] })[] = [
  {
    ...{ name: 'paintbox', model: () => 'paintbox', scheduler: 'ddim' },
    ...{ side: 256, steps: 20, strength: 0.8, guidance: 7.5 },
    counts: small,
    peers: ['img2img', 'optimum'],
  },
  {
    ...{ name: 'paintbox-lcm', model: () => 'paintbox-lcm', scheduler: 'lcm' },
    ...{ side: 256, steps: 4, strength: 1, guidance: 1 },
    counts: small,
    peers: ['img2img', 'optimum'],
  },
  {
    ...likeSd15,
    ...{ name: 'sd15-512', side: 512, steps: 2 },
    counts: { alone: 3, again: 0, clients: 1, together: 0, open: 0 },
    peers: ['img2img', 'optimum'],
  },
  {
    ...likeSd15,
    name: 'sd15',
    counts: { alone: 10, again: 0, clients: 2, together: 10, open: 0 },
    peers: peerNames,
  },
  {
    ...likeSd15,
    name: 'sd15-load',
    counts: { alone: 2, again: 0, clients: 8, together: 16, open: 10 },
    peers: ['img2img', 'optimum', 'diffusers'],
  },
];

const machine = `${availableParallelism()} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}, no GPU`;
const date = new Date().toISOString().slice(0, 10);
const file = new URL('results-peers.json', import.meta.url);
// What is not measured again stays as it was.
const before: readonly Result[] = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).results : [];
const results: Result[] = [];
for (const plan of plans) {
  if (!wanted.includes(plan.name)) {
    results.push(...before.filter(({ workload }) => workload.name === plan.name));
    continue;
  }
  const loadBefore = loadavg()[0]!;
  const chosen = plan.peers.filter((peer) => peers.includes(peer));
  const { workload, measured } = await measure({ ...plan, model: plan.model(), peers: chosen }, work, scale);
  results.push({ workload, measured, date, machine, load: { before: loadBefore, after: loadavg()[0]! } });
}
const text = report(results);
// A trial is not a result.
if (scale === 1 && peers.length === peerNames.length) {
  writeResults(new URL('results-peers.md', import.meta.url), text);
  writeFileSync(file, `${JSON.stringify({ results }, null, 2)}\n`);
}
console.log(text);
