// npm run bench: how long a picture takes at the default settings, what of it is not model runs, and whether the HTTP
// process answers meanwhile. Writes results.md. Run it on an idle machine.

import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const runs = 20;
const root = fileURLToPath(new URL('..', import.meta.url));
const starter = await readFile(`${root}docs/pictures/still-life.jpg`);

const server = spawn(process.execPath, [`${root}dist/main.js`], {
  cwd: root,
  env: { ...process.env, PORT: '0', LOG_FORMAT: 'json' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
const spawned = performance.now();
let url = '';
for await (const line of createInterface({ input: server.stdout })) {
  const { msg, address } = JSON.parse(line);
  if (msg === 'ready') {
    url = address;
    break;
  }
}
server.stdout.resume();
const readyMs = performance.now() - spawned;

interface Sample {
  readonly total: number;
  readonly modelRuns: number;
}

async function picture(fields: Record<string, string | number>): Promise<Sample> {
  const form = new FormData();
  form.append('image', new Blob([starter]), 'still-life.jpg');
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  const start = performance.now();
  const response = await fetch(`${url}/img2img`, { method: 'POST', body: form });
  if (!response.ok) throw new Error(await response.text());
  await response.arrayBuffer();
  const total = performance.now() - start;
  const modelRuns = Number(/model_runs;dur=([\d.]+)/.exec(response.headers.get('server-timing') ?? '')?.[1]);
  return { total, modelRuns };
}

const quantile = (values: readonly number[], q: number) =>
  [...values].sort((a, b) => a - b)[Math.ceil(q * values.length) - 1]!;

/** Asks /livez every 20 ms until told to stop. */
function probe() {
  const latencies: number[] = [];
  let stopped = false;
  const done = (async () => {
    while (!stopped) {
      const start = performance.now();
      await (await fetch(`${url}/livez`)).text();
      latencies.push(performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return async () => {
    stopped = true;
    await done;
    return latencies;
  };
}

const cases: [name: string, fields: Record<string, string | number>][] = [
  ['defaults, 256 x 256', { prompt: 'watercolor painting', seed: 1 }],
  ['defaults, 128 x 128', { prompt: 'watercolor painting', seed: 1, width: 128, height: 128 }],
  ['defaults, 512 x 512', { prompt: 'watercolor painting', seed: 1, width: 512, height: 512 }],
  ['guidance 1, 256 x 256', { prompt: 'watercolor painting', seed: 1, guidance: 1 }],
  ['paintbox-lcm, 256 x 256', { prompt: 'watercolor painting', seed: 1, model: 'paintbox-lcm' }],
];
const rows: string[] = [];
const probed: number[] = [];
for (const [name, fields] of cases) {
  for (let i = 0; i < 2; i++) await picture(fields);
  const stop = probe();
  const samples: Sample[] = [];
  for (let i = 0; i < runs; i++) samples.push(await picture(fields));
  probed.push(...(await stop()));
  const totals = samples.map(({ total }) => total);
  const overheads = samples.map(({ total, modelRuns }) => (total - modelRuns) / modelRuns);
  rows.push(
    `| ${name} | ${(quantile(totals, 0.5) / 1000).toFixed(2)} s | ${(quantile(totals, 0.95) / 1000).toFixed(2)} s | ${(100 * quantile(overheads, 0.5)).toFixed(1)} % |`,
  );
}
server.kill('SIGINT');

const text = `# Results

\`npm run bench\` on ${new Date().toISOString().slice(0, 10)}: ${cpus().length} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}, no GPU.
${runs} requests of each kind, one after the other, with the shipped model; the starter is a JPEG of 512 x 512.

| request | median | p95 | overhead over the sum of the model runs, median |
| --- | --- | --- | --- |
${rows.join('\n')}

- From start to ready: ${(readyMs / 1000).toFixed(1)} s.
- \`GET /livez\` while requests run, ${probed.length} times: p99 ${quantile(probed, 0.99).toFixed(1)} ms, max ${Math.max(...probed).toFixed(1)} ms.
`;
await writeFile(new URL('results.md', import.meta.url), text);
console.log(text);
