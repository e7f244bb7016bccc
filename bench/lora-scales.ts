// npm run soak:scales: a caller who asks for a thousand scales of one LoRA, beside honest callers of the same model: once a LoRA that
// runs beside the weights, once one that has to be folded for each of them. Writes results-lora-scales.md; ends with 1 when a limit
// is not kept. Reads /proc: Linux only.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeCheckpointFolder } from '../test/pipeline/checkpoints.js';
import { writeLora } from '../test/pipeline/lora/loras.js';
import { standIn } from '../test/stand-in/stand-in.js';
import { machine, quantile } from './engine.js';
import { anonymousMiB, onePicture, type Server, startServer } from './server.js';

const requests = 1000;
/** Without LoRAs, for comparison. */
const plainRequests = 250;
/** Of the hostile caller, at the same time. */
const inFlight = 8;
const device = { callMs: { 1: 5, 2: 5 }, vaeMs: 2 };
const honestFields = { model: 'sd', prompt: 'ink', steps: 16, strength: 1, width: 64, height: 64, guidance: 1 };
/** The least work that still folds. */
const hostileFields = { ...honestFields, steps: 1 };
/** Of what the server can do: the rest is more than half, which is all that a second caller can claim. */
const honestShare = 1 / 4;
const limits = { p95Times: 2, growthMiB: 256 };

interface Row {
  readonly name: string;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly sent: number;
  readonly failed: number;
  readonly hostile: string;
  readonly seconds: number;
  readonly memoryMiB: number;
  readonly diskBytes: number;
}

const parent = mkdtempSync(join(tmpdir(), 'img2img-scales-'));
const modelsDir = join(parent, 'models');
const cacheDir = join(parent, 'cache');
const picture = new Blob([await onePicture()]);

/** @returns the status */
async function make(url: string, key: string, fields: Readonly<Record<string, string | number>>): Promise<number> {
  const body = new FormData();
  body.append('image', picture, 'picture.png');
  for (const [name, value] of Object.entries(fields)) body.append(name, String(value));
  const headers = { authorization: `Bearer ${key}` };
  const answer = await fetch(`${url}/img2img`, { method: 'POST', body, headers });
  await answer.arrayBuffer();
  return answer.status;
}

/** Each picture with another scale, as fast as the server takes them; a 429 is tried again. @returns how many were made */
async function attack(url: string, lora: string | undefined, count = requests): Promise<string> {
  let [next, made, tooMany] = [0, 0, 0];
  const one = async () => {
    while (next < count) {
      const number = next++;
      const scale = lora === undefined ? {} : { lora: `${lora}:${(0.5 + number / 2000).toFixed(4)}` };
      for (let status = 429; status === 429; ) {
        status = await make(url, 'hostile', { ...hostileFields, seed: number, ...scale });
        if (status === 429) {
          tooMany++;
          await sleep(100);
        } else if (status === 200) made++;
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  return `${made} of ${count}${tooMany > 0 ? `, ${tooMany} times 429` : ''}`;
}

const bytesBelow = (folder: string): number =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);

/** Pictures in a second, one after the other. */
async function capacity(url: string): Promise<number> {
  const start = performance.now();
  const count = 30;
  for (let seed = 0; seed < count; seed++) await make(url, 'honest', { ...honestFields, seed });
  return (1000 * count) / (performance.now() - start);
}

async function measure(server: Server, perSecond: number, name: string, beside: () => Promise<string>): Promise<Row> {
  await sleep(500);
  const start = performance.now();
  const going: Promise<{ status: number; ms: number }>[] = [];
  const send = async () => {
    const begin = performance.now();
    const status = await make(server.url, 'honest', { ...honestFields, seed: going.length });
    return { status, ms: performance.now() - begin };
  };
  let memoryMiB = 0;
  const look = () => {
    memoryMiB = Math.max(
      memoryMiB,
      server.pids().reduce((sum, pid) => sum + anonymousMiB(pid), 0),
    );
  };
  const timers = [setInterval(() => going.push(send()), 1000 / perSecond), setInterval(look, 100)];
  const hostile = await beside();
  for (const timer of timers) clearInterval(timer);
  const honest = await Promise.all(going);
  const times = honest.filter(({ status }) => status === 200).map(({ ms }) => ms);
  const row = {
    ...{ name, hostile, memoryMiB },
    p50Ms: quantile(times, 0.5),
    p95Ms: quantile(times, 0.95),
    sent: honest.length,
    failed: honest.length - times.length,
    seconds: (performance.now() - start) / 1000,
    diskBytes: bytesBelow(parent),
  };
  console.log(JSON.stringify(row));
  return row;
}

async function main(): Promise<boolean> {
  mkdirSync(join(modelsDir, 'loras'), { recursive: true });
  mkdirSync(cacheDir);
  writeCheckpointFolder(join(modelsDir, 'sd'), 'sd');
  writeLora(join(modelsDir, 'loras', 'branched.safetensors'), 'peft');
  writeLora(join(modelsDir, 'loras', 'folded.safetensors'), 'kohya');
  const loadBefore = loadavg()[0]!;
  const server = await startServer({
    ...{ MODELS_DIR: modelsDir, CACHE_DIR: cacheDir, DEVICES: 'cpu', THREADS: '1', MAX_CONCURRENT: '1' },
    ...{ API_KEYS: 'honest,hostile', WORKER_MODULE: standIn(device) },
  });
  try {
    for (const lora of [{}, { lora: 'branched' }, { lora: 'folded' }]) {
      const status = await make(server.url, 'honest', { ...honestFields, ...lora });
      if (status !== 200) throw new Error(`${JSON.stringify(lora)} was answered with ${status}`);
    }
    const alone = async () => {
      await sleep(10_000);
      return 'nobody';
    };
    await capacity(server.url); // warm
    const measured = await capacity(server.url);
    const perSecond = measured * honestShare;
    const rows = [
      await measure(server, perSecond, 'nobody', alone),
      await measure(server, perSecond, 'without LoRAs', () => attack(server.url, undefined, plainRequests)),
      await measure(server, perSecond, 'a thousand scales, beside the weights', () => attack(server.url, 'branched')),
      await measure(server, perSecond, 'a thousand scales, folded', () => attack(server.url, 'folded')),
      await measure(server, perSecond, 'nobody, afterwards', alone),
    ];
    const isKept = (row: Row) =>
      row.failed === 0 &&
      row.p95Ms <= limits.p95Times * rows[0]!.p95Ms &&
      row.memoryMiB <= rows[0]!.memoryMiB + limits.growthMiB &&
      row.diskBytes === rows[0]!.diskBytes;
    writeFileSync(new URL('results-lora-scales.md', import.meta.url), report(rows, perSecond, loadBefore, isKept));
    return rows.every(isKept);
  } finally {
    await server.stop();
  }
}

const report = (
  rows: readonly Row[],
  perSecond: number,
  loadBefore: number,
  isKept: (row: Row) => boolean,
) => `# A thousand scales

${machine('npm run soak:scales')} Load average ${loadBefore.toFixed(1)} at the start, ${loadavg()[0]!.toFixed(1)} at the end.

The built service runs the small model of the tests on the stand-in device, one request at a time. Honest callers ask for a picture of ${honestFields.steps} steps ${perSecond.toFixed(1)} times a second, whatever becomes of the earlier ones: a quarter of what the server makes one after the other.

Beside them another caller wants ${requests} pictures of one step, ${inFlight} at a time, with as many scales of one LoRA; and for comparison ${plainRequests} without. Loading a folded set is real, and takes the worker what it takes.

What must hold: the honest 95th percentile is at most ${limits.p95Times} times that with nobody beside, every honest request gets its picture, memory grows by less than ${limits.growthMiB} MiB, and nothing is written to disk. Memory is the most that the server's processes had for themselves.

| beside | hostile pictures made | honest, ms: median / 95 % | honest: sent / failed | seconds | memory, MiB | bytes on disk | kept |
| --- | --- | --- | --- | ---: | ---: | ---: | --- |
${rows
  .map((row) =>
    [
      ...[
        '',
        row.name,
        row.hostile,
        `${row.p50Ms.toFixed(0)} / ${row.p95Ms.toFixed(0)}`,
        `${row.sent} / ${row.failed}`,
      ],
      ...[row.seconds.toFixed(0), row.memoryMiB.toFixed(0), row.diskBytes, isKept(row) ? 'yes' : 'no', ''],
    ]
      .join(' | ')
      .trim(),
  )
  .join('\n')}
`;

try {
  process.exitCode = (await main()) ? 0 : 1;
} finally {
  rmSync(parent, { recursive: true });
}
