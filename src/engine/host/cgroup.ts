// What the container lets this process have, and what was killed for taking more: cgroup v2, or v1 on older nodes. Sources: the
// kernel's admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. Node sees none of it in os.cpus(), and no cached files that give way.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** @param root where the groups are mounted */
export class Cgroup {
  constructor(private readonly root = '/sys/fs/cgroup') {}

  /** Whole CPUs of the quota, at least one; infinite without a quota. */
  cpus(): number {
    const [quota, period] = this.read('cpu.max')?.trim().split(' ') ?? [
      this.read('cpu/cpu.cfs_quota_us'),
      this.read('cpu/cpu.cfs_period_us'),
    ];
    const cpus = Number(quota) / Number(period); // NaN for "max", below zero for v1's none
    return cpus > 0 ? Math.max(1, Math.floor(cpus)) : Number.POSITIVE_INFINITY;
  }

  /** Bytes; infinite without one. */
  memoryLimit(): number {
    const limit = Number(this.read('memory.max') ?? this.read('memory/memory.limit_in_bytes'));
    return Number.isFinite(limit) ? limit : Number.POSITIVE_INFINITY; // NaN for "max"
  }

  /** Bytes below the limit; infinite without one. Cached files count as used there, but give way. */
  freeMemory(): number {
    const [limit, used, stat, files] = this.has('memory.max')
      ? ['memory.max', 'memory.current', 'memory.stat', 'inactive_file']
      : ['memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes', 'memory/memory.stat', 'total_inactive_file'];
    const free = Number(this.read(limit!)) - Number(this.read(used!)) + this.counter(stat!, files!);
    return Number.isFinite(free) ? free : Number.POSITIVE_INFINITY; // NaN for "max"
  }

  /** Processes that the kernel has killed here for want of memory; 0 where it does not tell. */
  oomKills(): number {
    return this.counter(this.has('memory.events') ? 'memory.events' : 'memory/memory.oom_control', 'oom_kill');
  }

  /** A line of `name number`; 0 where it is not there. */
  private counter(file: string, name: string): number {
    return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(this.read(file) ?? '')?.[1] ?? 0);
  }

  private has(file: string): boolean {
    return this.read(file) !== undefined;
  }

  private read(file: string): string | undefined {
    try {
      return readFileSync(join(this.root, file), 'utf8');
    } catch {
      return undefined;
    }
  }
}

export const cgroup = new Cgroup();
