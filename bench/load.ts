// npm run bench:load [-- COUNT]: the built service with paintbox on this machine's CPU under a mixed load. Closed loop: 1 to 32 clients,
// each with one request at a time. Open loop: Poisson arrivals at shares of the capacity that the closed loop found, timed from when
// each was due. Writes results-load.md and .json. Run it on an idle machine.

import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { quantile, writeResults } from './figures.js';
import { type Asked, callers, trace } from './load/trace.js';
import { startServer } from './server.js';

const count = Number(process.argv[2] ?? 100);
const clientCounts = [1, 2, 4, 8, 16, 32];
const shares = [0.5, 0.8, 0.95, 1.1];
const warmUps = 4;
const photo = readFileSync(new URL('../docs/pictures/still-life.jpg', import.meta.url));
const asked = trace(count, 7);
const loadBefore = loadavg()[0]!;
const agent = new Agent({ keepAlive: true });
const server = await startServer({
  ...{ DEVICES: 'cpu', PRELOAD_MODELS: 'none', DEFAULT_MODEL: 'paintbox', API_KEYS: callers.join(',') },
  ...{ MAX_QUEUE: '1000', REQUEST_TIMEOUT_MS: '600000' },
});

let made = 0;
/** For each request of a pass a starter that nobody has sent. */
function newStarters(): Promise<Buffer[]> {
  const next = () => {
    const number = made++;
    return sharp(photo)
      .modulate({ hue: (number * 37) % 360, brightness: 1 - (number % 1000) / 5000 })
      .jpeg();
  };
  return Promise.all(asked.map(() => next().toBuffer()));
}

/** @returns ms from the first byte sent to the last one received */
async function make({ caller, fields }: Asked, starter: Buffer): Promise<number> {
  const form = new FormData();
  form.append('image', new Blob([new Uint8Array(starter)]), 'starter.jpg');
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  const written = new Response(form);
  const body = Buffer.from(await written.arrayBuffer());
  const headers = {
    authorization: `Bearer ${caller}`,
    'content-type': written.headers.get('content-type')!,
    'content-length': body.length,
  };
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const sent = request(`${server.url}/img2img`, { method: 'POST', agent, headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(performance.now() - start);
        else reject(new Error(`${answer.statusCode}: ${Buffer.concat(chunks)}`));
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

interface Pass {
  readonly perSecond: number;
  /** Of each request, in the trace's order. */
  readonly ms: readonly number[];
}

async function closed(clients: number): Promise<Pass> {
  const starters = await newStarters();
  const ms: number[] = [];
  const begin = performance.now();
  let next = 0;
  const client = async () => {
    for (let i = next++; i < count; i = next++) ms[i] = await make(asked[i]!, starters[i]!);
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { perSecond: count / ((performance.now() - begin) / 1000), ms };
}

/** Nobody waits for an answer before the next request is sent, and a late start counts. */
async function open(rate: number): Promise<Pass> {
  const starters = await newStarters();
  const begin = performance.now();
  let due = begin;
  const ms = await Promise.all(
    asked.map(async (one, i) => {
      due += (1000 * one.gap) / rate;
      const arrival = due;
      await sleep(arrival - performance.now());
      await make(one, starters[i]!);
      return performance.now() - arrival;
    }),
  );
  return { perSecond: count / ((performance.now() - begin) / 1000), ms };
}

/** Jain's index of positive numbers: 1 where all are equal, 1/n where one has everything. */
function fairness(values: readonly number[]): number {
  const [sum, squares] = [values.reduce((a, b) => a + b, 0), values.reduce((a, b) => a + b * b, 0)];
  return sum ** 2 / (values.length * squares);
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

const warming = await newStarters();
for (let i = 0; i < warmUps; i++) await make(asked[i]!, warming[i]!);
const first = await closed(1);
const alone = first.ms;

function row(name: string, { perSecond, ms }: Pass) {
  const slowdowns = ms.map((value, i) => value / alone[i]!);
  const ofCaller = callers.map((caller) => mean(slowdowns.filter((_, i) => asked[i]!.caller === caller)));
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((q) => quantile(ms, q)) as [number, number, number];
  return {
    name,
    perSecond,
    ms: { p50, p95, p99 },
    slowdown: { p50: quantile(slowdowns, 0.5), p95: quantile(slowdowns, 0.95) },
    ofCaller,
    fairness: fairness(ofCaller),
  };
}

const closedRows = [row('1', first)];
for (const clients of clientCounts.slice(1)) {
  closedRows.push(row(String(clients), await closed(clients)));
  console.log(JSON.stringify(closedRows.at(-1)));
}
const capacity = Math.max(...closedRows.map(({ perSecond }) => perSecond));
const openRows = [];
for (const share of shares) {
  openRows.push(row(`${Math.round(100 * share)} %`, await open(share * capacity)));
  console.log(JSON.stringify(openRows.at(-1)));
}
agent.destroy();
await server.stop();

const table = (title: string, rows: readonly ReturnType<typeof row>[]) => {
  const s = (value: number) => (value / 1000).toFixed(2);
  const lines = rows.map(({ name, perSecond, ms, slowdown, ofCaller, fairness }) => {
    const times = [perSecond.toFixed(2), s(ms.p50), s(ms.p95), s(ms.p99)];
    const slower = [slowdown.p50, slowdown.p95, ...ofCaller].map((value) => value.toFixed(1));
    return `| ${[name, ...times, ...slower, fairness.toFixed(2)].join(' | ')} |`;
  });
  return `| ${title} | pictures a second | p50, s | p95, s | p99, s | slow-down, p50 | p95 | caller a | b | c | d | fairness |
|${' ---: |'.repeat(12)}
${lines.join('\n')}`;
};
const date = new Date().toISOString().slice(0, 10);
const machine = `${availableParallelism()} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}, no GPU`;
const load = { before: loadBefore, after: loadavg()[0]! };
const text = `# Under load, on a CPU

\`npm run bench:load\` on ${date}: ${machine}. Load average ${load.before.toFixed(1)} before and ${load.after.toFixed(1)} after.

${count} requests of paintbox in every pass, the same ones ([trace.ts](load/trace.ts)): sides of 128 to 512, 10 to 25 steps, strength 0.3 to 0.9, half of them without guidance, every starter, prompt and seed of its own.

Four callers share the service: a asks for half of it, b for a quarter, c and d for an eighth each. Slow-down is a request's time beside its own alone; of a caller it is the mean; fairness is Jain's index of the callers' means, 1 where all are slowed down alike.

## Closed loop

Each client asks for its next picture when it has the last one.

${table('clients', closedRows)}

## Open loop

Poisson arrivals at a share of the most that the closed loop made, ${capacity.toFixed(2)} pictures a second. Times count from when a request was due.

${table('of capacity', openRows)}
`;
writeFileSync(
  new URL('results-load.json', import.meta.url),
  `${JSON.stringify({ date, machine, load, count, capacity, closed: closedRows, open: openRows }, null, 1)}\n`,
);
writeResults(new URL('results-load.md', import.meta.url), text);
console.log(text);
