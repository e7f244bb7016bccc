import t from 'tap';
import { Cgroup } from '../../src/engine/host/cgroup.js';

const none = { cpus: Number.POSITIVE_INFINITY, freeMemory: Number.POSITIVE_INFINITY, oomKills: 0 };

t.test("a container's limits, in both versions of cgroups", async (t) => {
  const cases: [name: string, files: object, told: { cpus: number; freeMemory: number; oomKills: number }][] = [
    ['no cgroups', {}, none],
    [
      'v2 with limits',
      {
        'cpu.max': '250000 100000\n',
        'memory.max': '1000\n',
        'memory.current': '700\n',
        'memory.stat': 'anon 500\ninactive_file 150\nactive_file 50\n',
        'memory.events': 'oom 4\noom_kill 3\n',
      },
      { cpus: 2, freeMemory: 450, oomKills: 3 },
    ],
    [
      'v2 without',
      { 'cpu.max': 'max 100000\n', 'memory.max': 'max\n', 'memory.current': '700\n', 'memory.events': 'oom_kill 0\n' },
      none,
    ],
    ['v2, less than a CPU', { 'cpu.max': '50000 100000\n' }, { ...none, cpus: 1 }],
    [
      'v1 with limits',
      {
        cpu: { 'cpu.cfs_quota_us': '400000\n', 'cpu.cfs_period_us': '100000\n' },
        memory: {
          'memory.limit_in_bytes': '1000\n',
          'memory.usage_in_bytes': '900\n',
          'memory.stat': 'inactive_file 1\ntotal_inactive_file 200\n',
          'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
        },
      },
      { cpus: 4, freeMemory: 300, oomKills: 2 },
    ],
    ['v1 without a quota', { cpu: { 'cpu.cfs_quota_us': '-1\n', 'cpu.cfs_period_us': '100000\n' } }, none],
  ];
  for (const [name, files, told] of cases) {
    const cgroup = new Cgroup(t.testdir(files as Parameters<typeof t.testdir>[0]));
    t.strictSame({ cpus: cgroup.cpus(), freeMemory: cgroup.freeMemory(), oomKills: cgroup.oomKills() }, told, name);
  }
});
