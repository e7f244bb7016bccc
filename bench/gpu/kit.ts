// The kit on the machine that it was carried to: writes random models, asks, and writes each answer as it comes.
//
//   node bench/gpu/kit.js [--device cuda|cpu] [--shape sd15|tiny] [--seconds 360] [--out FOLDER]

import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openGpuSource } from '../../src/engine/shared/gpu/gpu-source.js';
import { answersIn } from './answers.js';
import { planOf, type Question, type ShapeName, type Task } from './plan.js';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    shape: { type: 'string', default: 'sd15' },
    seconds: { type: 'string', default: '360' },
    out: { type: 'string', default: 'answers' },
  },
});
const { device, shape, out } = values;
if (device !== 'cuda' && device !== 'cpu') throw new Error(`--device is ${device}; it must be cuda or cpu`);
if (shape !== 'sd15' && shape !== 'tiny') throw new Error(`--shape is ${shape}; it must be sd15 or tiny`);
const seconds = Number(values.seconds);
if (!(seconds > 0)) throw new Error(`--seconds is ${values.seconds}; it must be a number above 0`);

/** For what is asked when a part's time ends. */
const graceMs = 5000;
const since = Date.now();
const write = answersIn(out, since);
const root = fileURLToPath(new URL('../..', import.meta.url));
interface Running {
  /** How it ended: 0 is well. */
  readonly ended: Promise<number | string>;
  /** Ends it, and the service that it may have started. */
  kill(): void;
}

const started: Running[] = [];
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const one of started) one.kill();
    process.exit(1);
  });
}

function run(script: string, task: Task): Running {
  const child = fork(join(root, `bench/gpu/${script}.js`), [JSON.stringify(task)], {
    env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
    execArgv: process.execArgv,
    detached: true, // a group of its own, which ends as a whole
  });
  const ended = new Promise<number | string>((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? code ?? 'no process')),
  );
  const kill = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // Nothing of it is left.
    }
  };
  const one = { ended, kill };
  started.push(one);
  return one;
}

const gpus = await (await openGpuSource())?.read();
write({
  question: 'machine',
  gpus: gpus?.map(({ gpu, name, driver, memory }) => ({ gpu, name, driver, memoryBytes: memory.total })),
  cores: cpus().length,
  processor: cpus()[0]?.model.trim(),
  memoryBytes: totalmem(),
  node: process.version,
  loadAverage: loadavg()[0],
  device,
  shape,
  seconds,
});

const parts = planOf(shape);
const taskOf = (name: ShapeName, until: number): Task => ({
  ...{ shape: name, provider: device, out, since },
  models: join(root, 'random-models', name),
  cache: join(root, 'cache'),
  until: since + until * seconds * 1000,
});
async function inTime<T>(what: Promise<T>, until: number): Promise<T | 'out of time'> {
  const over = new AbortController();
  const late = sleep(Math.max(0, until - Date.now()), 'out of time' as const, { signal: over.signal });
  try {
    return await Promise.race([what, late.catch(() => 'out of time' as const)]);
  } finally {
    over.abort();
  }
}

function answersSoFar(): string[] {
  return readFileSync(join(out, 'answers.jsonl'), 'utf8').split('\n');
}

/** Whether a line since then answers a question. */
function answeredBy(before: readonly string[], question: Question): boolean {
  return answersSoFar()
    .slice(before.length - 1)
    .some((line) => line.includes(`"question":"${question}"`));
}

/** Models are written one after another, while the first is asked about already. */
const written = new Map<ShapeName, Promise<number | string>>();
let last: Promise<unknown> = Promise.resolve();
for (const name of new Set(parts.map((part) => part.shape))) {
  const writing = last.then(() => run('write-model', taskOf(name, 1)).ended);
  written.set(name, writing);
  last = writing;
}
for (const { script, shape: name, asks, until } of parts) {
  const task = taskOf(name, until);
  const before = answersSoFar();
  const wasWritten = await inTime(written.get(name)!, task.until);
  let ended = wasWritten === 0 ? undefined : `its model was not written (${wasWritten})`;
  if (ended === undefined) {
    const part = run(script, task);
    // A part that is late is told so by its own clock first; what does not heed that is ended.
    ended = `its part (${script}) ended before (${await inTime(part.ended, task.until + graceMs)})`;
    part.kill();
  }
  for (const question of asks.filter((one) => !answeredBy(before, one))) {
    write({ question, model: name, failed: ended });
  }
}
for (const one of started) one.kill();
write({
  question: 'exported_graph',
  leftOut: 'an export takes optimum and the weights in its own form, which the kit does not bring',
});
write({ question: 'end' });
