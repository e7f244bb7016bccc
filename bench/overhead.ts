// npm run bench:overhead [-- RUNS [DIST]]: what a request takes beside its model runs, on an idle server: wall time at the client, less
// the time inside session.run, which the answer tells (`model_runs` of Server-Timing). With the dist folder of another build its
// server is measured beside ours, request by request in turns. Writes results-overhead.md and .json. Run it on an idle machine.

import { writeFile } from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { median, writeResults } from './figures.js';
import { startServer } from './server.js';

const runs = Number(process.argv[2] ?? 50);
const warmUps = 3;
/** Between requests, so that each finds threads at rest. */
const pauseMs = 200;
const own = fileURLToPath(new URL('../dist', import.meta.url));
const builds = [own, ...process.argv.slice(3, 4).map((folder) => resolve(folder))];
const photo = fileURLToPath(new URL('../docs/pictures/still-life.jpg', import.meta.url));

/** At most so much for requests of a second and more, as a share of the model runs; and for shorter ones, ms. */
const aim = { share: 0.03, ms: 10 };

interface Row {
  readonly name: string;
  readonly fields: Readonly<Record<string, string | number>>;
  /** Sides of the starter. */
  readonly starter: readonly [width: number, height: number];
}

function square(model: string, side: number, more: Readonly<Record<string, string>> = {}): Row {
  const fields = { model, width: side, height: side, format: 'png', ...more };
  return { name: `${model}, ${side} x ${side}`, fields, starter: [side, side] };
}

const rows: readonly Row[] = [
  square('paintbox', 128),
  square('paintbox', 256),
  square('paintbox', 512),
  square('paintbox-lcm', 256),
  { ...square('paintbox', 256), name: 'paintbox, 256 x 256, starter of 12 megapixels', starter: [4000, 3000] },
  { ...square('paintbox', 256, { format: 'webp' }), name: 'paintbox, 256 x 256, WebP out' },
  { ...square('paintbox', 256, { format: 'avif' }), name: 'paintbox, 256 x 256, AVIF out' },
];

interface Sample {
  /** At the client: from the first byte sent to the last one received, ms. */
  readonly wall: number;
  /** As Server-Timing tells them, ms. */
  readonly stages: Readonly<Record<string, number>>;
}

const agent = new Agent({ keepAlive: true });

async function picture(url: string, { fields }: Row, starter: Buffer, seed: number): Promise<Sample> {
  const form = new FormData();
  form.append('image', new Blob([starter]), 'starter.jpg');
  // A prompt of its own for each: none is encoded already.
  for (const [name, value] of Object.entries({ ...fields, seed, prompt: `watercolor painting, number ${seed}` })) {
    form.append(name, String(value));
  }
  // Written out beforehand: what a client takes to make its body is not the service's.
  const written = new Response(form);
  const type = written.headers.get('content-type')!;
  const body = Buffer.from(await written.arrayBuffer());
  const start = performance.now();
  const timing = await new Promise<string>((resolve, reject) => {
    const headers = { 'content-type': type, 'content-length': body.length };
    const sent = httpRequest(`${url}/img2img`, { method: 'POST', agent, headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(String(answer.headers['server-timing']));
        else reject(new Error(Buffer.concat(chunks).toString()));
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
  const wall = performance.now() - start;
  const stages = [...timing.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, stage, ms]) => [stage, Number(ms)]);
  return { wall, stages: Object.fromEntries(stages) };
}

const overheadOf = ({ wall, stages }: Sample) => wall - stages.model_runs!;
/** What of the overhead lies in a part of the request, ms. */
const parts: Readonly<Record<string, (sample: Sample) => number>> = {
  decode: ({ stages }) => stages.decode!,
  encode: ({ stages }) => stages.encode!,
  worker: ({ stages }) =>
    ['text_encode', 'vae_encode', 'denoise', 'vae_decode'].reduce((sum, stage) => sum + stages[stage]!, 0) -
    stages.model_runs!,
  upload: ({ stages }) => stages.upload!,
  between: ({ stages }) => stages.queue! + stages.model_load! + stages.other!,
  wire: ({ wall, stages }) => wall - stages.total!,
};

function summary(samples: readonly Sample[]) {
  const wallMs = median(samples.map(({ wall }) => wall));
  const overheadMs = median(samples.map(overheadOf));
  const share = median(samples.map((sample) => overheadOf(sample) / sample.stages.model_runs!));
  return {
    wallMs,
    modelRunsMs: median(samples.map(({ stages }) => stages.model_runs!)),
    overheadMs,
    share,
    reached: wallMs >= 1000 ? share <= aim.share : overheadMs <= aim.ms,
    partsMs: Object.fromEntries(Object.entries(parts).map(([name, of]) => [name, median(samples.map(of))])),
  };
}

const servers = [];
for (const dist of builds) {
  servers.push(await startServer({ DEVICES: 'cpu', PRELOAD_MODELS: 'paintbox,paintbox-lcm' }, dist));
}
const results = [];
for (const row of rows) {
  const samples: Sample[][] = servers.map(() => []);
  for (let i = 0; i < warmUps + runs; i++) {
    // Of its own for each: none is encoded already.
    const starter = await sharp(photo)
      .resize(...row.starter, { fit: 'fill' })
      .modulate({ hue: (i * 37) % 360 })
      .jpeg({ quality: 90 })
      .toBuffer();
    for (const [k, { url }] of servers.entries()) {
      await sleep(pauseMs);
      const sample = await picture(url, row, starter, i);
      if (i >= warmUps) samples[k]!.push(sample);
    }
  }
  results.push({ name: row.name, builds: samples.map(summary) });
  console.log(JSON.stringify(results.at(-1)));
}
agent.destroy();
for (const server of servers) await server.stop();

const ms = (value: number) => value.toFixed(value < 10 ? 1 : 0);
const lines = results.map(({ name, builds: [ours, other] }) => {
  const { wallMs, modelRunsMs, overheadMs, share, reached, partsMs } = ours!;
  const partCells = Object.keys(parts).map((part) => ms(partsMs[part]!));
  const cells = [name, ms(wallMs), ms(modelRunsMs), `${ms(overheadMs)} (${(100 * share).toFixed(1)} %)`, ...partCells];
  return `| ${[...cells, reached ? 'yes' : 'no', ...(other ? [ms(other.overheadMs)] : [])].join(' | ')} |`;
});
const date = new Date().toISOString().slice(0, 10);
const machine = `${cpus().length} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}, no GPU`;
const titles = ['request', 'wall', 'model runs', 'overhead', ...Object.keys(parts), 'aim reached'];
const compared = builds.length > 1 ? [...titles, 'overhead before'] : titles;
const text = `# Overhead

\`npm run bench:overhead\` on ${date}: ${machine}. Medians of ${runs} requests, one after the other, on an idle server; ms.

The starter is a JPEG of the output's size and the answer a PNG, where nothing else is said; each request has a starter, a prompt and a seed of
its own. Overhead is the wall time at the client less the time inside \`session.run\`.

In brackets is the median of each request's share of its own model runs, which is not the quotient of the two medians.

The aim is ${100 * aim.share} % for requests of a second or more, and ${aim.ms} ms for shorter ones.

| ${compared.join(' | ')} |
|${' --- |'.repeat(compared.length)}
${lines.join('\n')}

- decode: from the upload's bytes to pixels, in a process of its own; encode: pixels to the answer's file
- worker: what it does beside model runs: tokens, noise, the scheduler, pixels; between: messages, the queue, the form
- wire: what the client sees beyond that: HTTP both ways
`;
await writeFile(
  new URL('results-overhead.json', import.meta.url),
  `${JSON.stringify({ date, machine, runs, results }, null, 2)}\n`,
);
writeResults(new URL('results-overhead.md', import.meta.url), text, '## What was tried');
console.log(text);
