// npm run cluster [-- replicas]: a balanced cluster on this machine, with a load that rises and falls, to watch.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, missingPrograms } from './cluster.js';

const missing = missingPrograms();
if (missing.length > 0) {
  console.error(`The cluster needs ${missing.join(' and ')}. On Debian: apt-get install ${missing.join(' ')}`);
  process.exit(1);
}
const replicas = Number(process.argv[2] ?? 3);
if (!Number.isInteger(replicas) || replicas < 1 || replicas > 8) {
  console.error(`The number of replicas is ${process.argv[2]}; it must be 1 to 8.`);
  process.exit(1);
}

const cluster = await Cluster.start({ replicas, slots: 1, scrapeSeconds: 2 });
process.on('SIGINT', async () => {
  await cluster.close();
  process.exit(0);
});
console.log(`
  balancer    ${cluster.url} (its own metrics: ${cluster.balancerMetricsUrl})
  prometheus  ${cluster.prometheusUrl}/graph?g0.expr=job:img2img_saturation_ratio:avg&g0.tab=0&g0.range_input=10m
  replicas    ${cluster.replicas.map(({ url }) => url).join(' ')}

A minute of no load, one of half of the slots, one of twice the slots, again and again. Ctrl-C ends it.
`);

const picture = readFileSync(new URL('../../docs/pictures/cottage.png', import.meta.url));
const phases = [0, Math.max(1, Math.floor(replicas / 2)), 2 * replicas];
const phaseMs = 60_000;
const begin = performance.now();
const answers = new Map<number, number>();
const clientsNow = () => phases[Math.floor((performance.now() - begin) / phaseMs) % phases.length]!;

for (let i = 0; i < Math.max(...phases); i++) client(i);
for (;;) {
  await sleep(2000);
  const saturation = await cluster.query('job:img2img_saturation_ratio:avg').catch(() => new Map<string, number>());
  const value = [...saturation.values()][0];
  const told = [...answers].map(([status, count]) => `${status}: ${count}`).join('  ');
  console.log(
    `${String(clientsNow()).padStart(2)} clients  saturation ${value?.toFixed(2) ?? '-'}  ${bar(value ?? 0)}  ${told}`,
  );
}

async function client(index: number): Promise<never> {
  for (;;) {
    if (index >= clientsNow()) {
      await sleep(200);
      continue;
    }
    const body = new FormData();
    body.append('image', new Blob([picture]), 'picture.png');
    body.append('prompt', 'watercolor painting');
    const status = await fetch(`${cluster.url}/img2img`, { method: 'POST', body }).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status;
      },
      () => 0,
    );
    answers.set(status, (answers.get(status) ?? 0) + 1);
    if (status !== 200) await sleep(1000);
  }
}

function bar(ratio: number): string {
  return '#'.repeat(Math.round(10 * Math.min(ratio, 3))).padEnd(30, '.');
}
