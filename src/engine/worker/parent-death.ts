// A worker ends with its parent, also while a model run blocks it, when its event loop cannot hear that the parent is gone.

import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const pollMs = 1000;

/** @param parent pid of the process that forked this one, from its main thread */
export function dieWithParent(parent: number): void {
  if (!askKernel()) watch(parent);
  // It may have ended before anybody listened.
  if (process.ppid !== parent) process.exit(0);
}

/** Linux: the kernel kills this process when its parent ends. Source: prctl(2). @returns whether it will */
function askKernel(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi').default;
    const long = 'unsigned long';
    const prctl = koffi.load(null).func('prctl', 'int', ['int', long, long, long, long]);
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) === 0;
  } catch {
    return false; // no koffi for this system
  }
}

/** Elsewhere: a thread, which a model run does not block, looks whether the parent is still there. */
export function watch(parent: number): void {
  // Windows goes on telling the pid of a parent that is gone; there the signal 0 finds nobody.
  const look = `
    setInterval(() => {
      let gone = process.ppid !== ${parent};
      try { process.kill(${parent}, 0); } catch (error) { gone ||= error.code === 'ESRCH'; }
      if (gone) process.kill(process.pid, 'SIGKILL');
    }, ${pollMs});`;
  new Worker(look, { eval: true, execArgv: [], stdout: false }).unref();
}
