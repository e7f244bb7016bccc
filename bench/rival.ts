// npm run bench:rival [-- CURVE... | none]: the engine's scheduling against one request at a time and against step batching of equal guidance,
// in virtual time. Nothing is measured here, so that it needs no quiet machine. Writes results-rival.json, .md and .svg; curves that are
// not named keep their figures.

import { readFile, writeFile } from 'node:fs/promises';
import { curves } from './rival/costs.js';
import { aloneRatio, type Figures, figuresOf } from './rival/figures.js';
import { plotLoads } from './rival/plot.js';
import { type CurveName, type Results, reportOf } from './rival/report.js';
import { trace } from './rival/trace.js';

const requests = 5000;
const seeds = 10;

const file = (extension: string) => new URL(`results-rival.${extension}`, import.meta.url);
const made: Results = {};
const named = process.argv.slice(2) as CurveName[];
for (const name of (Object.keys(curves) as CurveName[]).filter((name) => named.length === 0 || named.includes(name))) {
  const costs = curves[name];
  const figures: Figures[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    figures.push(await figuresOf(costs, trace(requests, seed)));
    console.log(costs.name, seed, JSON.stringify(figures.at(-1)));
  }
  made[name] = { seeds: figures, alone: [await aloneRatio(costs, 1), await aloneRatio(costs, 2)] };
  if (name === 'h200') await writeFile(file('svg'), await plotLoads(costs, trace(2000, 1)));
}
const results: Results = { ...JSON.parse(await readFile(file('json'), 'utf8').catch(() => '{}')), ...made };
await writeFile(file('json'), `${JSON.stringify(results, null, 1)}\n`);

// What it says is written by hand, below the tables.
const before = await readFile(file('md'), 'utf8').catch(() => '');
const notes = before.indexOf('\n## What it says');
await writeFile(file('md'), reportOf(results, requests) + (notes < 0 ? '' : before.slice(notes)));
