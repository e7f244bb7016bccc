// The kit on the machine that it was carried to: writes random models, asks, and writes each answer as it comes.
//
//   node bench/gpu/kit.js [--device cuda|cpu] [--shape sd15|tiny] [--seconds 360] [--out FOLDER]

import { type ChildProcess, fork } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openGpuSource } from '../../src/engine/shared/gpu/gpu-source.js';
import { answersIn } from './answers.js';
import { planOf, type ShapeName, type Task } from './plan.js';

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

const since = Date.now();
const write = answersIn(out, since);
const root = fileURLToPath(new URL('../..', import.meta.url));
const children = new Set<ChildProcess>();

/** @returns how it ended: 0 is well */
function run(script: string, task: Task): Promise<number | string> {
  const child = fork(join(root, `bench/gpu/${script}.js`), [JSON.stringify(task)], {
    env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
    execArgv: process.execArgv,
  });
  children.add(child);
  return new Promise((resolve) =>
    child.once('exit', (code, signal) => {
      children.delete(child);
      resolve(signal ?? code!);
    }),
  );
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
/** Models are written one after another, while the first is asked about already. */
const written = new Map<ShapeName, Promise<number | string>>();
let before: Promise<unknown> = Promise.resolve();
for (const name of new Set(parts.map((part) => part.shape))) {
  const writing = before.then(() => run('write-model', taskOf(name, 1)));
  written.set(name, writing);
  before = writing;
}
for (const { script, shape: name, asks, until } of parts) {
  const task = taskOf(name, until);
  const outcome = await written.get(name);
  if (outcome !== 0) {
    write({ question: asks[0]!, model: name, failed: `the random model was not written: ${outcome}` });
    continue;
  }
  // A part that is late is told so by its own clock first; what does not heed that is ended.
  const ending = new AbortController();
  const late = sleep(Math.max(0, task.until + 5000 - Date.now()), 'out of time' as const, { signal: ending.signal });
  const ended = await Promise.race([run(script, task), late.catch(() => 'out of time' as const)]);
  ending.abort();
  if (ended === 'out of time') for (const child of children) child.kill('SIGKILL');
  if (ended !== 0) write({ question: asks[0]!, model: name, part: script, failed: `the part ended with ${ended}` });
}
for (const child of children) child.kill('SIGKILL');
write({
  question: 'exported_graph',
  leftOut: 'an export takes optimum and the weights in its own form, which the kit does not bring',
});
write({ question: 'end' });
