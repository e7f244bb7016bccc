// npm run bench:peers -- FOLDER [--only NAME,...] [--scale 0.1]: the service beside what people would use instead, each set up as its
// own README says, in FOLDER. Every request has a starter, a prompt and a seed of its own. Writes results-peers.md and .json.
// Run it on an idle machine. NAME: paintbox, paintbox-lcm, sd15, sd15-512. FOLDER takes about 25 GB, and is kept.

import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeResults } from './figures.js';
import { measure, type Plan } from './peers/measure.js';
import { report } from './peers/report.js';
import { peerNames } from './peers/servers.js';
import { randomModel } from './peers/setup.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string', default: 'paintbox,paintbox-lcm,sd15,sd15-512' },
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
const plans: readonly { name: string; plan: () => Plan }[] = [
  {
    name: 'paintbox',
    plan: () => ({
      ...{ name: 'paintbox', model: 'paintbox', scheduler: 'ddim', side: 256, steps: 20, strength: 0.8, guidance: 7.5 },
      counts: small,
      peers: ['img2img', 'optimum'],
    }),
  },
  {
    name: 'paintbox-lcm',
    plan: () => ({
      ...{
        name: 'paintbox-lcm',
        model: 'paintbox-lcm',
        scheduler: 'lcm',
        side: 256,
        steps: 4,
        strength: 1,
        guidance: 1,
      },
      counts: small,
      peers: ['img2img', 'optimum'],
    }),
  },
  {
    name: 'sd15-512',
    plan: () => ({
      ...{
        name: 'sd15-512',
        model: randomModel(work),
        scheduler: 'euler',
        side: 512,
        steps: 2,
        strength: 1,
        guidance: 7.5,
      },
      counts: { alone: 3, again: 0, clients: 1, together: 0, open: 0 },
      peers: ['img2img', 'optimum'],
    }),
  },
  {
    name: 'sd15',
    plan: () => ({
      ...{
        name: 'sd15',
        model: randomModel(work),
        scheduler: 'euler',
        side: 256,
        steps: 4,
        strength: 1,
        guidance: 7.5,
      },
      counts: { alone: 5, again: 0, clients: 2, together: 4, open: 0 }, // stable-diffusion.cpp takes minutes for each
      peers: [...peerNames],
    }),
  },
];

const loadBefore = loadavg()[0]!;
const results = [];
for (const { name, plan } of plans) {
  if (!wanted.includes(name)) continue;
  const whole = plan();
  results.push(await measure({ ...whole, peers: whole.peers.filter((peer) => peers.includes(peer)) }, work, scale));
}
const run = {
  date: new Date().toISOString().slice(0, 10),
  machine: `${availableParallelism()} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}, no GPU`,
  load: { before: loadBefore, after: loadavg()[0]! },
  scale,
  results,
};
const text = report(run);
// A trial is not a result.
if (scale === 1) {
  writeResults(new URL('results-peers.md', import.meta.url), text);
  writeFileSync(new URL('results-peers.json', import.meta.url), `${JSON.stringify(run, null, 2)}\n`);
}
console.log(text);
