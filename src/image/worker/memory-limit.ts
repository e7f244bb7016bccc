// What this process may take for one picture, set in the kernel: an allocation beyond it fails, and nobody else is disturbed.
// RLIMIT_DATA counts memory that was committed for writing; what V8 and WebAssembly only reserve does not count.
// Sources: setrlimit(2), proc_pid_status(5).

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const resource = { cpu: 0, data: 2, core: 4 } as const;

export type Limiter = (memoryBytes: number, cpuSeconds: number) => void;

/** @returns one that does nothing where there is no Linux */
export function openLimiter(): Limiter {
  if (process.platform !== 'linux') return () => {};
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi').default;
  const limits = koffi.struct({ soft: 'uint64_t', hard: 'uint64_t' });
  const library = koffi.load(null);
  const get = library.func('getrlimit', 'int', ['int', koffi.out(koffi.pointer(limits))]);
  const set = library.func('setrlimit', 'int', ['int', koffi.pointer(limits)]);
  const limit = (kind: number, soft: number) => {
    const now = { soft: 0, hard: 0 };
    if (get(kind, now) !== 0) return;
    const hard = Number(now.hard);
    set(kind, { soft: BigInt(Math.min(Math.ceil(soft), hard)), hard: now.hard });
  };
  limit(resource.core, 0);
  // Where the container's memory ends, the kernel ends this process before the one that answers.
  writeFileSync('/proc/self/oom_score_adj', '1000');
  return (memoryBytes, cpuSeconds) => {
    limit(resource.data, committedBytes() + memoryBytes);
    const { user, system } = process.cpuUsage();
    limit(resource.cpu, (user + system) / 1e6 + cpuSeconds);
  };
}

function committedBytes(): number {
  const kilobytes = /^VmData:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}
