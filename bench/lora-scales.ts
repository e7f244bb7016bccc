// npm run soak:scales: a caller who asks for a thousand scales of one LoRA, beside honest callers of the same model: once a LoRA that
// runs beside the weights, once a hundred of one that has to be folded for each of them. Writes results-lora-scales.md; ends with 1 when
// a limit is not kept. Reads /proc: Linux only.

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
/** Each is folded, which takes a second or more. */
const foldedRequests = 100;
/** Of the hostile caller, at the same time. */
const inFlight = 8;
/** Steps that are over at once, so that a thousand pictures are; and a picture that takes about three times as long as a fold, as one of
 * Stable Diffusion 1.5 does on a CPU (results-loras.md). */
const stepMs = { fast: 5, slow: 200 };
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
async function capacity(url: string, count: number): Promise<number> {
  const start = performance.now();
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

type Beside = readonly [name: string, beside: (url: string) => Promise<string>];

const nobodyFor = (ms: number) => async () => {
  await sleep(ms);
  return 'nobody';
};

interface Part {
  readonly perSecond: number;
  readonly rows: readonly Row[];
}

/** Rows of one server; the first is compared with. @param pictures made one after the other to learn what it can do */
async function part(ms: number, pictures: number, all: readonly Beside[]): Promise<Part> {
  const server = await startServer({
    ...{ MODELS_DIR: modelsDir, CACHE_DIR: cacheDir, DEVICES: 'cpu', THREADS: '1', MAX_CONCURRENT: '1' },
    ...{ API_KEYS: 'honest,hostile', WORKER_MODULE: standIn({ callMs: { 1: ms, 2: ms }, vaeMs: 2 }) },
  });
  try {
    for (const lora of [{}, { lora: 'branched' }, { lora: 'folded' }]) {
      const status = await make(server.url, 'honest', { ...hostileFields, ...lora });
      if (status !== 200) throw new Error(`${JSON.stringify(lora)} was answered with ${status}`);
    }
    await capacity(server.url, pictures); // warm
    const perSecond = honestShare * (await capacity(server.url, pictures));
    const rows: Row[] = [];
    for (const [name, beside] of all) rows.push(await measure(server, perSecond, name, () => beside(server.url)));
    return { perSecond, rows };
  } finally {
    await server.stop();
  }
}

const isKept = (row: Row, { rows: [first] }: Part) =>
  row.failed === 0 &&
  row.p95Ms <= limits.p95Times * first!.p95Ms &&
  row.memoryMiB <= first!.memoryMiB + limits.growthMiB &&
  row.diskBytes === first!.diskBytes;

async function main(): Promise<boolean> {
  mkdirSync(join(modelsDir, 'loras'), { recursive: true });
  mkdirSync(cacheDir);
  writeCheckpointFolder(join(modelsDir, 'sd'), 'sd');
  writeLora(join(modelsDir, 'loras', 'branched.safetensors'), 'peft');
  writeLora(join(modelsDir, 'loras', 'folded.safetensors'), 'kohya');
  const loadBefore = loadavg()[0]!;
  const fast = await part(stepMs.fast, 30, [
    ['nobody', nobodyFor(20_000)],
    ['without LoRAs', (url) => attack(url, undefined, plainRequests)],
    ['a thousand scales, beside the weights', (url) => attack(url, 'branched')],
    ['nobody, afterwards', nobodyFor(10_000)],
  ]);
  const slow = await part(stepMs.slow, 3, [
    ['nobody', nobodyFor(60_000)],
    ['a hundred scales, folded', (url) => attack(url, 'folded', foldedRequests)],
  ]);
  writeFileSync(new URL('results-lora-scales.md', import.meta.url), report(fast, slow, loadBefore));
  return [fast, slow].every((each) => each.rows.every((row) => isKept(row, each)));
}

const report = (fast: Part, slow: Part, loadBefore: number) => `# A thousand scales

${machine('npm run soak:scales')} Load average ${loadBefore.toFixed(1)} at the start, ${loadavg()[0]!.toFixed(1)} at the end.

The built service runs the small model of the tests on the stand-in device, one request at a time. Honest callers ask for pictures of ${honestFields.steps} steps at a quarter of the rate at which the server makes them one after the other, whatever becomes of the earlier ones.

Beside them another caller wants pictures of one step, ${inFlight} at a time, each with another scale of one LoRA.

What must hold: the honest 95th percentile is at most ${limits.p95Times} times that with nobody beside, every honest request gets its picture, memory grows by less than ${limits.growthMiB} MiB, and nothing is written to disk. Memory is the most that the server's processes had for themselves.

## Beside the weights

The LoRA is an input of each row, as on CPUs most are. A step takes ${stepMs.fast} ms, and honest requests come ${fast.perSecond.toFixed(1)} times a second.

${table(fast)}

## Folded

Each scale is another set, which is loaded for real; here a worker stands still for a second or two, and no request can be quicker than the fold that it meets.

A step takes ${stepMs.slow} ms, so that a picture takes about three times as long as a fold, as one of Stable Diffusion 1.5 on a CPU does; honest requests come every ${(1 / slow.perSecond).toFixed(0)} s. Where pictures take less than a fold, as on GPUs, honest ones wait for a fold all the same.

${table(slow)}
`;

const table = (
  all: Part,
) => `| beside | hostile pictures made | honest, ms: median / 95 % | honest: sent / failed | seconds | memory, MiB | bytes on disk | kept |
| --- | --- | --- | --- | ---: | ---: | ---: | --- |
${all.rows.map((row) => line(row, isKept(row, all))).join('\n')}`;

function line(row: Row, kept: boolean): string {
  const times = `${row.p50Ms.toFixed(0)} / ${row.p95Ms.toFixed(0)}`;
  const cells = [row.name, row.hostile, times, `${row.sent} / ${row.failed}`, row.seconds.toFixed(0)];
  return `| ${[...cells, row.memoryMiB.toFixed(0), row.diskBytes, kept ? 'yes' : 'no'].join(' | ')} |`;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} finally {
  rmSync(parent, { recursive: true });
}
