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
const flat = { 1: 16.7, 2: 33.4, 4: 66.8, 8: 133.6, 16: 267.2 };

/** Strengths uniform in 0.3 to 0.9 of 20 steps, half of the requests guided. */
function workload(): Img2ImgRequest[] {
  const random = randoms(7);
  return Array.from({ length: count }, (_, seed) =>
    request(seed, { strength: 0.3 + 0.6 * random(), guidanceScale: seed % 2 ? 1 : 7.5 }),
  );
}

interface Run {
  /** Pictures per second. */
  readonly throughput: number;
  readonly latencies: readonly number[];
  readonly meanRows: number;
}

/** @param rate of open-loop Poisson arrivals per second; latency counts from the scheduled arrival */
async function run(table: Record<number, number>, vaeMs: number, batched: boolean, rate: number): Promise<Run> {
  const engine = await startEngine({
    maxConcurrent: batched ? undefined : 1,
    workerModule: standIn({ callMs: stretched(table), vaeMs: vaeMs * stretch }),
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
for (const [name, table, vaeMs] of [
  ['GPU table, encoders and decoder free', gpuTable, 0],
  ['GPU table, 20 ms for each call of the VAE', gpuTable, 20],
  ['flat table (CPU-like)', flat, 0],
] as const) {
  const single = await run(table, vaeMs, false, saturated);
  const batched = await run(table, vaeMs, true, saturated);
  const gain = batched.throughput / single.throughput;
  let p95 = '';
  if (table === gpuTable) {
    const rate = 0.8 * single.throughput;
    const one = quantile((await run(table, vaeMs, false, rate)).latencies, 0.95);
    const many = quantile((await run(table, vaeMs, true, rate)).latencies, 0.95);
    p95 = `${one.toFixed(0)} ms -> ${many.toFixed(0)} ms (${(many / one).toFixed(2)})`;
  }
  lines.push(
    `| ${name} | ${single.throughput.toFixed(2)}/s | ${batched.throughput.toFixed(2)}/s | ${gain.toFixed(2)} | ${batched.meanRows.toFixed(1)} | ${p95} |`,
  );
  console.log(lines.at(-1));
}

const text = `# Continuous batching on the stand-in device

${machine('npm run bench:batching')}
${count} requests of 20 steps, strengths uniform in 0.3 to 0.9, half at guidance 1, half at 7.5, open-loop Poisson arrivals. A UNet
call of 1/2/4/8/16 rows takes ${Object.values(gpuTable).join('/')} ms, of the flat table ${flat[1]} ms a row; all times are stretched by ${stretch}.
A simulation: no GPU was measured.

| table | one at a time | batched | gain | mean rows of a batched call | p95 at 80 % of one at a time's throughput |
| --- | --- | --- | --- | --- | --- |
${lines.join('\n')}
`;
await writeFile(new URL('results-batching.md', import.meta.url), text);
console.log(text);
process.exit();
