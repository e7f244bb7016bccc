// The graphs that we write against optimum-onnx's unmodified export of the same weights, at Stable Diffusion 1.5's dimensions:
// load time, memory and time of a run, each arm in a process of its own, runs interleaved. bench/graphs/export.py writes both.
//
//   npm run bench:graphs -- FOLDER [rounds]

import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Component } from '../src/pipeline/folder/components.js';
import { type ModelFolder, readModelFolder } from '../src/pipeline/folder/model-folder.js';
import { branchFeedsOf, withBranches } from '../src/pipeline/lora/branches.js';
import { TorchGenerator } from '../src/pipeline/numbers/noise.js';
import { tokenInputs } from '../src/pipeline/onnx/patch.js';
import { type Input, onnxruntimeVersion, Session } from '../src/pipeline/onnx/sessions.js';

const arms = ['written', 'optimum'] as const;
type Arm = (typeof arms)[number];

interface Workload {
  readonly name: string;
  readonly part: Component;
  /** Side of the picture. */
  readonly side: number;
  readonly rows: number;
}

const workloads: readonly Workload[] = [
  { name: 'UNet, 256 x 256, guided', part: 'unet', side: 256, rows: 2 },
  { name: 'UNet, 512 x 512, guided', part: 'unet', side: 512, rows: 2 },
  { name: 'text encoder, two prompts', part: 'text_encoder', side: 0, rows: 2 },
  { name: 'VAE encoder, 256 x 256', part: 'vae_encoder', side: 256, rows: 1 },
  { name: 'VAE decoder, 256 x 256', part: 'vae_decoder', side: 256, rows: 1 },
  { name: 'VAE encoder, 512 x 512', part: 'vae_encoder', side: 512, rows: 1 },
  { name: 'VAE decoder, 512 x 512', part: 'vae_decoder', side: 512, rows: 1 },
];

const threads = availableParallelism();
const folders = { written: 'diffusers', optimum: 'optimum' };

/** In GiB. */
const memory = (key: 'VmHWM' | 'RssAnon' | 'VmRSS'): number =>
  Number(new RegExp(`${key}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 2 ** 20;

function feedsOf({ part, side, rows }: Workload, session: Session, folder: ModelFolder): Record<string, Input> {
  const noise = (...dims: number[]): Input => ({
    data: new TorchGenerator(1).randn(dims.reduce((a, b) => a * b, 1)),
    dims,
  });
  const all = (value: number, ...dims: number[]): Input => ({
    data: new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(value),
    dims,
  });
  switch (part) {
    case 'unet': {
      const perRow = session.shapeOf('timestep').length === 1;
      return {
        sample: noise(rows, 4, side / 8, side / 8),
        timestep: { data: Array(perRow ? rows : 1).fill(501), dims: perRow ? [rows] : [] },
        encoder_hidden_states: noise(rows, 77, 768),
        ...branchFeedsOf({ folder }, part, Array(rows).fill([])),
      };
    }
    case 'vae_encoder':
      return { sample: noise(rows, 3, side, side) };
    case 'vae_decoder':
      return { latent_sample: noise(rows, 4, side / 8, side / 8) };
    default:
      return {
        input_ids: { data: Array.from({ length: 77 * rows }, (_, i) => (i * 631) % 49406), dims: [rows, 77] },
        // As for prompts without textual inversions and LoRAs.
        ...(session.takes(tokenInputs.kept) && {
          [tokenInputs.kept]: all(1, rows, 77, 1),
          [tokenInputs.vectors]: all(0, rows, 77, 768),
        }),
        ...branchFeedsOf({ folder }, 'text_encoder', Array(rows).fill([])),
      };
  }
}

interface Loaded {
  readonly ms: number;
  readonly resident: number;
  readonly peak: number;
}

/** The child: loads a part, then runs it whenever it is told to. */
async function child(folder: string, arm: Arm, part: Component): Promise<void> {
  const device = { provider: 'cpu', threads, cacheDir: join(folder, 'cache') } as const;
  const start = performance.now();
  const read = withBranches(readModelFolder(join(folder, folders[arm]), 'cpu')); // as the service loads it
  const graph = read.graphs[part]!;
  const session =
    typeof graph === 'string'
      ? await Session.load(part, graph, device)
      : await Session.load(part, graph.bytes, device, graph.folder);
  const loaded: Loaded = { ms: performance.now() - start, resident: memory('VmRSS'), peak: memory('VmHWM') };
  process.send!(loaded);
  process.on('message', async (workload: Workload) => {
    const feeds = feedsOf(workload, session, read);
    const begin = performance.now();
    const cpu = process.cpuUsage();
    const [output] = await session.run(feeds);
    const { user, system } = process.cpuUsage(cpu);
    process.send!({
      ms: performance.now() - begin,
      cpuMs: (user + system) / 1000,
      peak: memory('VmHWM'),
      sample: [...output!.data.slice(0, 4096)],
    });
  });
}

interface Ran {
  readonly ms: number;
  readonly cpuMs: number;
  readonly peak: number;
  readonly sample: readonly number[];
}

const answer = <T>(process: ChildProcess): Promise<T> =>
  new Promise((resolve, reject) => {
    process.once('message', (message) => resolve(message as T));
    process.once('exit', (code) => reject(new Error(`a measuring process ended with ${code}`)));
  });

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

async function main(folder: string, rounds: number): Promise<void> {
  const results: object[] = [];
  for (const part of new Set(workloads.map((workload) => workload.part))) {
    const env = { ...process.env, ORT_DISABLE_TELEMETRY: '1', MALLOC_MMAP_THRESHOLD_: '131072' }; // as the engine's workers
    const children = {} as Record<Arm, ChildProcess>;
    const loaded = {} as Record<Arm, Loaded>;
    for (const arm of arms) {
      children[arm] = fork(fileURLToPath(import.meta.url), [folder, arm, part], { env });
      loaded[arm] = await answer<Loaded>(children[arm]);
    }
    for (const workload of workloads.filter((one) => one.part === part)) {
      const runs: Record<Arm, Ran[]> = { written: [], optimum: [] };
      for (let round = 0; round <= rounds; round++) {
        for (const arm of round % 2 === 0 ? arms : arms.toReversed()) {
          children[arm].send(workload);
          const ran = await answer<Ran>(children[arm]);
          if (round > 0) runs[arm].push(ran); // the first is the warm-up
        }
      }
      const of = (arm: Arm) => ({
        ms: median(runs[arm].map(({ ms }) => ms)),
        cpuMs: median(runs[arm].map(({ cpuMs }) => cpuMs)),
        peakGiB: Math.max(...runs[arm].map(({ peak }) => peak)),
        loadMs: loaded[arm].ms,
        residentGiB: loaded[arm].resident,
      });
      const [a, b] = arms.map((arm) => runs[arm][0]!.sample);
      const difference = Math.max(...a!.map((value, i) => Math.abs(value - b![i]!)));
      const result = {
        ...workload,
        rounds,
        written: of('written'),
        optimum: of('optimum'),
        difference,
        load: loadavg()[0],
      };
      console.log(JSON.stringify(result));
      results.push(result);
    }
    for (const arm of arms) children[arm].kill();
  }
  const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  writeFileSync(path('results-graphs.json'), `${JSON.stringify({ onnxruntimeVersion, threads, results }, null, 1)}\n`);
}

const [, , folder, second, part] = process.argv;
if (!folder) throw new Error('name the folder that bench/graphs/export.py wrote');
await (part ? child(folder, second as Arm, part as Component) : main(folder, Number(second ?? 7)));
