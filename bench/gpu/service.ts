// A child of the kit: the whole service on the random model, asked from outside.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median, quantile, randoms } from '../figures.js';
import { onePicture, residentMiB, type Server, startServer } from '../server.js';
import { answersIn, round } from './answers.js';
import { type Question, shapes, type Task } from './plan.js';

const task: Task = JSON.parse(process.argv[2]!);
const { name, sides } = shapes[task.shape];
const side = sides[0]!;
const write = answersIn(task.out, task.since);
const root = fileURLToPath(new URL('../..', import.meta.url));
/** Compiled beside this file in the kit; in the repository by `npm run build`. */
const dist = join(root, extname(fileURLToPath(import.meta.url)) === '.ts' ? 'dist' : 'src');
const starter = new Blob([new Uint8Array(await onePicture())]);
const steps = 20;
const requests = { overhead: 12, load: 32, killed: 4 };

const start = (environment: Readonly<Record<string, string>> = {}): Promise<Server> =>
  startServer(
    {
      ...{ MODELS_DIR: task.models, CACHE_DIR: task.cache, DEVICES: task.provider === 'cpu' ? 'cpu' : 'cuda:0' },
      ...{ REQUEST_TIMEOUT_MS: '300000', MAX_QUEUE: '1000', LOG_LEVEL: 'info' },
      ...environment,
    },
    dist,
  );

interface Made {
  readonly ms: number;
  readonly modelRunsMs: number;
  readonly totalMs: number;
  readonly digest: string;
}

async function make(server: Server, seed: number, fields: Readonly<Record<string, number>> = {}): Promise<Made> {
  const form = new FormData();
  form.set('image', starter, 'starter.png');
  const all = { prompt: `number ${seed}`, width: side, height: side, steps, seed, scheduler: 'ddim', ...fields };
  for (const [field, value] of Object.entries(all)) form.set(field, String(value));
  const begin = performance.now();
  const response = await fetch(`${server.url}/img2img`, { method: 'POST', body: form });
  if (!response.ok) throw new Error(`the service answered ${response.status}: ${await response.text()}`);
  const digest = createHash('sha256')
    .update(new Uint8Array(await response.arrayBuffer()))
    .digest('hex');
  const timing = response.headers.get('server-timing') ?? '';
  const told = (stage: string) => Number(new RegExp(`\\b${stage};dur=([\\d.]+)`).exec(timing)?.[1]);
  return { ms: performance.now() - begin, modelRunsMs: told('model_runs'), totalMs: told('total'), digest };
}

async function rowBudget(server: Server, readySeconds: number): Promise<object> {
  const { models } = (await (await fetch(`${server.url}/models`)).json()) as { models: Record<string, unknown>[] };
  const { row_budgets: rowBudgets, runnable, reason } = models[0]!;
  return { readySeconds: round(readySeconds), rowBudgets, ...(runnable === false && { failed: reason }) };
}

async function overhead(server: Server): Promise<object> {
  const made = [];
  for (let i = 0; i < requests.overhead; i++) made.push(await make(server, i));
  const later = made.slice(2);
  return {
    requests: later.length,
    ms: round(median(later.map(({ ms }) => ms))),
    modelRunsMs: round(median(later.map(({ modelRunsMs }) => modelRunsMs))),
    overheadMs: round(median(later.map(({ ms, modelRunsMs }) => ms - modelRunsMs))),
    firstMs: round(made[0]!.ms),
  };
}

/** All at once: strengths uniform in 0.3 to 0.9, every other one guided. */
async function load(server: Server): Promise<object> {
  const random = randoms(7);
  const begin = performance.now();
  const made = await Promise.all(
    Array.from({ length: requests.load }, (_, i) =>
      make(server, i, { strength: round(0.3 + 0.6 * random()), guidance: i % 2 ? 1 : 7.5 }),
    ),
  );
  const seconds = (performance.now() - begin) / 1000;
  const [p50, p95] = [0.5, 0.95].map((q) =>
    round(
      quantile(
        made.map(({ ms }) => ms),
        q,
      ) / 1000,
    ),
  );
  return { requests: made.length, seconds: round(seconds), perSecond: round(made.length / seconds), p50, p95 };
}

/** In use while pictures are made, and afterwards. */
async function memory(server: Server): Promise<object> {
  const busy = Array.from({ length: 4 }, (_, i) => make(server, i));
  await sleep(1500);
  const during = await memoryNow(server);
  await Promise.all(busy);
  await sleep(1500);
  return { during, afterwards: await memoryNow(server) };
}

async function memoryNow(server: Server) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const told = [...text.matchAll(/^(img2img_(?:gpu|worker)_memory\w*)\S* (\S+)$/gm)];
  const metrics = Object.fromEntries(told.map(([, metric, value]) => [metric, Number(value)]));
  const [, worker] = server.pids();
  return { metrics, nvidiaSmi: nvidiaSmi(), workerResidentMiB: round(residentMiB(worker!), 0) };
}

function nvidiaSmi(): string | undefined {
  try {
    const query = ['--query-gpu=index,memory.used,memory.total,utilization.gpu', '--format=csv,noheader'];
    return execFileSync('nvidia-smi', query, { encoding: 'utf8', timeout: 10_000 }).trim();
  } catch {
    return undefined; // there is none
  }
}

async function killedWorker(server: Server): Promise<object> {
  const seeds = Array.from({ length: requests.killed }, (_, i) => 100 + i);
  const begin = performance.now();
  const calm = await Promise.all(seeds.map((seed) => make(server, seed)));
  const calmMs = performance.now() - begin;
  const again = performance.now();
  const going = Promise.all(seeds.map((seed) => make(server, seed)));
  await sleep(calmMs / 2);
  const [, worker] = server.pids();
  process.kill(worker!, 'SIGKILL');
  const made = await going;
  const same = made.filter(({ digest }, i) => digest === calm[i]!.digest).length;
  return {
    requests: made.length,
    samePictures: same,
    calmSeconds: round(calmMs / 1000),
    seconds: round((performance.now() - again) / 1000),
  };
}

async function ask(question: Question, answer: () => Promise<object>, how: object = {}): Promise<void> {
  if (Date.now() > task.until) return write({ question, model: name, ...how, failed: 'out of time' });
  try {
    write({ question, model: name, side, ...how, ...(await answer()) });
  } catch (error) {
    write({ question, model: name, side, ...how, failed: (error as Error).message });
  }
}

const begin = performance.now();
const batched = await start().catch((error) => {
  write({ question: 'row_budget', model: name, failed: `the service does not start: ${(error as Error).message}` });
  process.exit(1);
});
try {
  await ask('row_budget', () => rowBudget(batched, (performance.now() - begin) / 1000));
  await ask('overhead', () => overhead(batched));
  await ask('load', () => load(batched), { way: 'batched' });
  await ask('memory', () => memory(batched));
  await ask('killed_worker', () => killedWorker(batched));
} finally {
  await batched.stop();
}
const single = await start({ MAX_CONCURRENT: '1' });
try {
  await ask('load', () => load(single), { way: 'one at a time' });
} finally {
  await single.stop();
}
