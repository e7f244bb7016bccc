// npm run bench:batching [-- requests]: what continuous batching gains on a device that costs like a GPU, and that it loses
// nothing on one that costs like a CPU. The stand-in runs the real engine, processes and pipeline, with a small model; only
// the time of a UNet call is a table's. Writes results-batching.md.

import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Img2ImgRequest } from '../src/engine/host/engine.js';
import { standIn } from '../test/stand-in/stand-in.js';
import { generate, gpuTable, machine, quantile, randoms, request, startEngine } from './engine.js';

const count = Number(process.argv[2] ?? 150);
/** So that what the small model really takes on the CPU hides behind the table. */
const stretch = 4;
const stretched = (table: Record<number, number>) =>
  Object.fromEntries(Object.entries(table).map(([rows, ms]) => [rows, ms * stretch]));
/** What an H200 takes for Stable Diffusion 1.5 at 512 x 512, and what it takes more when the shape of a call changes: results-gpu.md. */
const h200 = { 1: 12.85, 2: 17.95, 4: 23.05, 8: 37.39, 16: 64.79, 32: 120.98 };
const changeOfShape = 650;
const flat = { 1: 16.7, 2: 33.4, 4: 66.8, 8: 133.6, 16: 267.2 };

/** Strengths uniform in 0.3 to 0.9 of 20 steps, half of the requests guided. */
function workload(): Img2ImgRequest[] {
  const random = randoms(7);
  return Array.from({ length: count }, (_, seed) =>
    request(seed, { strength: 0.3 + 0.6 * random(), guidanceScale: seed % 2 ? 1 : 7.5 }),
  );
}

interface Costs {
  readonly table: Record<number, number>;
  readonly vaeMs: number;
  /** Of a call of another shape than the one before. */
  readonly changeMs?: number;
}

interface Run {
  /** Pictures per second. */
  readonly throughput: number;
  readonly latencies: readonly number[];
  readonly meanRows: number;
}

/** @param rate of open-loop Poisson arrivals per second; latency counts from the scheduled arrival */
async function run({ table, vaeMs, changeMs = 0 }: Costs, batched: boolean, rate: number): Promise<Run> {
  const engine = await startEngine({
    maxConcurrent: batched ? undefined : 1,
    workerModule: standIn({ callMs: stretched(table), vaeMs: vaeMs * stretch, changeMs: changeMs * stretch }),
  });
  const rows: number[] = [];
  engine.on('step', (step) => rows.push(step.rows));
  const random = randoms(11);
  const latencies: number[] = [];
  const start = performance.now();
  let arrival = start;
  await Promise.all(
    workload().map(async (one) => {
      arrival += (-Math.log(1 - random()) / rate) * 1000;
      const due = arrival;
      await sleep(due - performance.now());
      await generate(engine, one);
      latencies.push(performance.now() - due);
    }),
  );
  const throughput = count / ((performance.now() - start) / 1000);
  await engine.close();
  return { throughput, latencies, meanRows: rows.reduce((sum, n) => sum + n, 0) / rows.length };
}

const saturated = 1000;
const lines: string[] = [];
for (const [name, costs] of [
  ['an H200 as measured, 40 ms for each call of the VAE', { table: h200, vaeMs: 40, changeMs: changeOfShape }],
  ['GPU table, encoders and decoder free', { table: gpuTable, vaeMs: 0 }],
  ['GPU table, 20 ms for each call of the VAE', { table: gpuTable, vaeMs: 20 }],
  ['flat table (CPU-like)', { table: flat, vaeMs: 0 }],
] as const satisfies readonly (readonly [string, Costs])[]) {
  const single = await run(costs, false, saturated);
  const batched = await run(costs, true, saturated);
  const gain = batched.throughput / single.throughput;
  let p95 = '';
  if (costs.table !== flat) {
    const rate = 0.8 * single.throughput;
    const one = quantile((await run(costs, false, rate)).latencies, 0.95);
    const many = quantile((await run(costs, true, rate)).latencies, 0.95);
    p95 = `${one.toFixed(0)} ms -> ${many.toFixed(0)} ms (${(many / one).toFixed(2)})`;
  }
  lines.push(
    `| ${name} | ${single.throughput.toFixed(2)}/s | ${batched.throughput.toFixed(2)}/s | ${gain.toFixed(2)} | ${batched.meanRows.toFixed(1)} | ${p95} |`,
  );
  console.log(lines.at(-1));
}

const text = `# Continuous batching on the stand-in device

${machine('npm run bench:batching')}
${count} requests of 20 steps, strengths uniform in 0.3 to 0.9, half at guidance 1, half at 7.5, open-loop Poisson arrivals.

A UNet call of 1/2/4/8/16 rows takes ${Object.values(gpuTable).join('/')} ms, of the flat table ${flat[1]} ms a row; all times are stretched by ${stretch}.
The H200's calls take what was [measured on one](results-gpu.md), ${changeOfShape} ms more where their shape changes. A simulation: no GPU ran this.

| table | one at a time | batched | gain | mean rows of a batched call | p95 at 80 % of one at a time's throughput |
| --- | --- | --- | --- | --- | --- |
${lines.join('\n')}
`;
await writeFile(new URL('results-batching.md', import.meta.url), text);
console.log(text);
process.exit();
