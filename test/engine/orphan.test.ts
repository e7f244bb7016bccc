// A worker whose parent was killed ends too, also while a model run blocks it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { standIn } from '../stand-in/stand-in.js';
import { cottage, form, startService } from '../start.js';

/** Whether a process runs: one that has ended and that nobody has waited for does not. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Resolves when the process has ended; the test's own time is the limit. */
async function ends(t: { teardown(undo: () => void): unknown }, pid: number): Promise<void> {
  t.teardown(() => runs(pid) && process.kill(pid, 'SIGKILL'));
  while (runs(pid)) await sleep(20);
}

t.test('a worker that hangs in a model run ends when its parent is killed', { timeout: 120_000 }, async (t) => {
  const service = await startService(t, { MODELS_DIR: 'test/reference', WORKER_MODULE: standIn() });
  const { worker, pid } = (await service.logged(({ msg }) => msg === 'a worker is ready')) as Record<string, number>;
  t.equal(worker, 0);
  const answer = fetch(`${service.url}/img2img`, {
    method: 'POST',
    body: form(cottage, { prompt: '[hang@1]', steps: 10 }),
  });
  answer.catch(() => {});
  const steps = async () => {
    const metrics = await (await fetch(`${service.url}/metrics`)).text();
    return Number(/^img2img_steps_total\{model="tiny"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
  };
  while ((await steps()) < 1) await sleep(20);
  await sleep(200); // the next call, which hangs, begins
  t.ok(runs(pid!));
  service.process.kill('SIGKILL');
  await ends(t, pid!);
  t.pass('it ended');
});

const module = new URL('../../src/engine/worker/parent-death.ts', import.meta.url).href;
const block = 'for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);';

/** Starts a process that starts another one with this code, and is killed once that has said that it hangs. */
async function orphaned(t: { teardown(undo: () => void): unknown }, code: string): Promise<void> {
  const start = `
    const { spawn } = await import('node:child_process');
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', ${JSON.stringify(code)}], { stdio: 'inherit' });
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', start], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => parent.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: parent.stdout }), 'line');
  parent.kill('SIGKILL');
  await ends(t, Number(line));
}

t.test('where the kernel cannot be asked a thread looks after the parent', { timeout: 120_000 }, async (t) => {
  const said = 'await new Promise((told) => process.stdout.write(process.pid + "\\n", told));';
  await orphaned(
    t,
    `const { watch } = await import(${JSON.stringify(module)}); watch(process.ppid); await new Promise((up) => setTimeout(up, 500)); ${said} ${block}`,
  );
  t.pass('it ended');
});

t.test('a parent that is gone before anybody listens is noticed', { timeout: 120_000 }, async (t) => {
  const code = `const { dieWithParent } = await import(${JSON.stringify(module)}); dieWithParent(process.ppid + 1); ${block}`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], { stdio: 'inherit' });
  t.teardown(() => child.kill('SIGKILL'));
  const [status] = await once(child, 'exit');
  t.equal(status, 0);
});
