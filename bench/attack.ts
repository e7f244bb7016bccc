// npm run soak:attack [-- part of a name]: attacks from a process of its own, beside honest requests at half of what the service
// can do. SOAK_SECONDS is how long each lasts (8). Writes results-attack.md and results-attack.json when no name is given; ends
// with 1 when a limit is not kept. Reads /proc: Linux only.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { constants, loadavg, setPriority } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { standIn } from '../test/stand-in/stand-in.js';
import type { Told } from './attack/attacker.js';
import { attackList } from './attack/attacks.js';
import { capacity, type Honest, lateMs, probe, sendHonestly, smallJpeg, steps } from './attack/honest.js';
import { machine, quantile } from './engine.js';
import { startServer } from './server.js';

const seconds = Number(process.env.SOAK_SECONDS ?? 8);
const only = process.argv[2];
const limits = { livezP99Ms: 250, peakMiB: 1024 };
const device = { callMs: { 1: 40, 2: 40 }, vaeMs: 10 };
const keys = { honest: 'honest', hostile: 'hostile' };

interface Row {
  readonly name: string;
  /** Of the attack's own requests: a status or how else they ended -> how many. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly livezP99Ms: number;
  readonly livezMaxMs: number;
  readonly honest: Honest;
  /** Of the HTTP process. */
  readonly peakMiB: number;
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
  /** Of the HTTP process, all its threads, ms. */
  readonly processorMs: number;
  /** The HTTP process' first thread was ready to run and had no core, ms: what the machine does to the figures. */
  readonly withoutCoreMs: number;
  /** The same of the process that measures, as its loop's delay at the 99th percentile. */
  readonly ownDelayP99Ms: number;
}

const loadBefore = loadavg()[0]!;
const server = await startServer({
  MODELS_DIR: 'test/reference',
  DEVICES: 'cpu',
  MAX_CONCURRENT: '1',
  API_KEYS: Object.values(keys).join(),
  WORKER_MODULE: standIn(device),
  LOG_LEVEL: 'info',
});
const [pid] = server.pids() as [number];
let stopped = false;
process.once('exit', () => stopped || process.kill(pid, 'SIGKILL')); // also after a fault of this bench
const { port } = new URL(server.url);
const attacker = fork(new URL('./attack/attacker.ts', import.meta.url));
setPriority(attacker.pid!, constants.priority.PRIORITY_BELOW_NORMAL); // attackers have machines of their own
const caller = { url: server.url, key: keys.honest };

/** The kernel keeps the highest resident memory of a process; 5 makes it begin again. Source: proc_pid_clear_refs(5). */
const forgetPeak = () => writeFileSync(`/proc/${pid}/clear_refs`, '5');
const peakMiB = () => Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
/** Source: the kernel's sched-stats, fields of schedstat: on a core, waiting for one (ns), turns. */
const withoutCoreMs = () => Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;

/** The kernel counts in hundredths of a second. Source: proc_pid_stat(5), fields 14 and 15. */
function processorMs(): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Since it was last asked. */
async function loopDelay(): Promise<{ p99: number; max: number }> {
  const headers = { authorization: `Bearer ${keys.honest}` };
  const text = await (await fetch(`${server.url}/metrics`, { headers })).text();
  const of = (name: string) =>
    1000 * Number(new RegExp(`^nodejs_eventloop_lag_${name}_seconds (\\S+)`, 'm').exec(text)?.[1]);
  return { p99: of('p99'), max: of('max') };
}

/** @returns when it has begun */
async function begin(told: Told): Promise<void> {
  attacker.send(told);
  await once(attacker, 'message');
}

/** @param isAttack false: nothing beside the honest */
async function measure(name: string, isAttack: boolean): Promise<Row> {
  await sleep(500);
  if (isAttack) await begin({ name, seconds, target: { port: Number(port), key: keys.hostile } });
  forgetPeak();
  await loopDelay();
  const before = { waited: withoutCoreMs(), processor: processorMs() };
  const own = monitorEventLoopDelay({ resolution: 10 });
  own.enable();
  const honest = sendHonestly(caller, jpeg, rate);
  const livez = probe(server.url);
  let outcomes: Record<string, number> = {};
  if (isAttack) [{ outcomes }] = await once(attacker, 'message');
  else await sleep(1000 * seconds);
  const [delays, answers] = await Promise.all([livez(), honest()]);
  own.disable();
  const loop = await loopDelay();
  const row = {
    name,
    outcomes,
    livezP99Ms: quantile(delays, 0.99),
    livezMaxMs: Math.max(...delays),
    honest: answers,
    peakMiB: peakMiB(),
    loopP99Ms: loop.p99,
    loopMaxMs: loop.max,
    processorMs: processorMs() - before.processor,
    withoutCoreMs: withoutCoreMs() - before.waited,
    ownDelayP99Ms: own.percentile(99) / 1e6,
  };
  console.log(isKept(row) ? 'kept  ' : 'BROKEN', JSON.stringify(row));
  return row;
}

const missesOf = ({ livezP99Ms, peakMiB, honest }: Row): string[] => [
  ...(livezP99Ms >= limits.livezP99Ms ? ['/livez'] : []),
  ...(peakMiB >= limits.peakMiB ? ['memory'] : []),
  ...(honest.failed > 0 ? ['honest requests failed'] : []),
  ...(honest.refused > 0 ? ['honest requests refused'] : []),
];
const isKept = (row: Row) => missesOf(row).length === 0;

const counts = (outcomes: Readonly<Record<string, number>>) =>
  Object.entries(outcomes)
    .sort(([, a], [, b]) => b - a)
    .map(([outcome, count]) => `${outcome}: ${count}`)
    .join(', ') || 'none';

const line = (row: Row) => {
  const { sent, answered, late, refused, failed, slowestMs } = row.honest;
  const cells = [
    row.name,
    counts(row.outcomes),
    `${row.livezP99Ms.toFixed(0)} / ${row.livezMaxMs.toFixed(0)}`,
    `${sent} / ${answered} / ${late} / ${refused} / ${failed}`,
    slowestMs.toFixed(0),
    row.peakMiB.toFixed(0),
    `${row.loopP99Ms.toFixed(0)} / ${row.loopMaxMs.toFixed(0)}`,
    row.processorMs.toFixed(0),
    row.withoutCoreMs.toFixed(0),
    missesOf(row).join(', ') || 'yes',
  ];
  return `| ${cells.join(' | ')} |`;
};

const jpeg = await smallJpeg();
await capacity(caller, jpeg, 10); // warm
const measured = await capacity(caller, jpeg, 40);
const rate = measured / 2;
console.log(`${measured.toFixed(1)} pictures a second; ${rate.toFixed(1)} are asked for`);

const rows = [await measure('none', false)];
for (const { name } of attackList) if (only === undefined || name.includes(only)) rows.push(await measure(name, true));
rows.push(await measure('none, afterwards', false));
attacker.disconnect();
await server.stop();
stopped = true;
const loadAfter = loadavg()[0]!;

if (only === undefined) {
  const write = (name: string, text: string) => writeFileSync(new URL(name, import.meta.url), text);
  const about = machine(seconds === 8 ? 'npm run soak:attack' : `SOAK_SECONDS=${seconds} npm run soak:attack`);
  const nominal = 1000 / (steps * device.callMs[1] + 2 * device.vaeMs);
  write('results-attack.json', `${JSON.stringify({ about, loadBefore, loadAfter, measured, rate, rows }, null, 2)}\n`);
  write(
    'results-attack.md',
    `# Attacks

${about} Load average ${loadBefore.toFixed(1)} at the start, ${loadAfter.toFixed(1)} at the end: where it is above the number of cores, other programs took time from the service.

The built service runs with its defaults on the stand-in device, one request at a time. A picture of ${steps} steps takes it ${(1000 / nominal).toFixed(0)} ms; ${measured.toFixed(1)} a second were made without an attack, and honest callers ask for ${rate.toFixed(1)} a second, whatever becomes of them.

Each attack lasts ${seconds} s. It comes from a process of low priority, as the workers' is, on the same cores, with a key of its own that the service knows, so that nothing is refused for want of one. It writes its whole request, whatever is answered meanwhile, and the next when that has ended.

\`/livez\` is asked every 25 ms. Late is an answer after ${lateMs} ms; refused is a 429 or 503; failed is everything else but 200. Memory, event loop and processor are those of the HTTP process. Without a core is how long that process was ready to run while others ran.

What must hold: \`/livez\` answers within ${limits.livezP99Ms} ms at the 99th percentile, the HTTP process stays below ${limits.peakMiB} MiB, and every honest request gets its picture.

| attack | what it was answered | /livez, ms: p99 / max | honest: sent / 200 / late / refused / failed | slowest, ms | peak, MiB | event loop, ms: p99 / max | processor, ms | without a core, ms | kept |
| --- | --- | --- | --- | ---: | ---: | --- | ---: | ---: | --- |
${rows.map(line).join('\n')}

[results-attack.json](results-attack.json) has the same with every honest request that got no picture, by its reason.
`,
  );
}
process.exit(rows.every(isKept) ? 0 : 1);
