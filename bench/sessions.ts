// npm run bench:sessions [-- FOLDER ...]: a guided UNet call under other settings of onnxruntime than ours (src/pipeline/onnx/sessions.ts),
// in turns, and the memory of each in a process of its own. FOLDER is one of graphs, such as optimum's; without any it is the shipped
// paintbox. Writes results-sessions.md and .json. Run it on an idle machine.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { basename, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { median, randoms, writeResults } from './figures.js';
import { residentMiB } from './server.js';

const runs = 24;
const warmUps = 2;
/** Between calls: threads that spin on after one would slow the next down. */
const restMs = 100;
const cores = availableParallelism();

type Options = InferenceSession.SessionOptions;
const session = (entries: Readonly<Record<string, string>>): Options => ({ extra: { session: entries } });

/** Of the worker's UNet. */
const ours: Options = {
  executionProviders: ['cpu'],
  intraOpNumThreads: cores,
  interOpNumThreads: 1,
  enableMemPattern: true,
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3,
  ...session({ force_spinning_stop: '1' }),
};
const ways: Readonly<Record<string, Options>> = {
  ours,
  'one thread': { ...ours, intraOpNumThreads: 1 },
  'threads never spin': { ...ours, ...session({ 'intra_op.allow_spinning': '0' }) },
  'threads spin on after a run': { ...ours, extra: {} },
  'layouts as they are (no NCHWc)': { ...ours, graphOptimizationLevel: 'extended' },
  'weights not packed beforehand': { ...ours, ...session({ force_spinning_stop: '1', disable_prepacking: '1' }) },
  'denormal numbers as zero': { ...ours, ...session({ force_spinning_stop: '1', set_denormal_as_zero: '1' }) },
  'shares of work that shrink': { ...ours, ...session({ force_spinning_stop: '1', dynamic_block_base: '4' }) },
};

/** Random inputs of two rows. @param side of the picture */
function inputsOf(unet: InferenceSession, side: number): Record<string, Tensor> {
  const random = randoms(1);
  const tensor = (dims: number[]) => {
    const count = dims.reduce((product, dim) => product * dim, 1);
    return new Tensor(
      'float32',
      Float32Array.from({ length: count }, () => 2 * random() - 1),
      dims,
    );
  };
  const inputs: Record<string, Tensor> = {};
  for (const meta of unet.inputMetadata) {
    if (!meta.isTensor) throw new Error(`the input ${meta.name} is no tensor`);
    const { name, type, shape } = meta;
    const width = shape.at(-1);
    if (shape.length === 4) inputs[name] = tensor([2, Number(shape[1]), side / 8, side / 8]);
    else if (shape.length === 3) inputs[name] = tensor([2, 77, Number(width)]);
    else {
      // The timestep: one for all rows, or one for each.
      const [count, dims] = shape.length === 0 ? [1, []] : [2, [2]];
      inputs[name] =
        type === 'int64'
          ? new Tensor('int64', new BigInt64Array(count).fill(500n), dims)
          : new Tensor('float32', new Float32Array(count).fill(500), dims);
    }
  }
  return inputs;
}

const graphIn = (folder: string) => resolve(folder, 'unet/model.onnx');

const [only, folderOfOnly] = process.argv[2] === '--memory' ? process.argv.slice(3) : [];
if (only !== undefined) {
  const unet = await InferenceSession.create(graphIn(folderOfOnly!), ways[only]!);
  for (let i = 0; i < 2; i++) await unet.run(inputsOf(unet, 256));
  process.stdout.write(String(residentMiB(process.pid)));
  process.exit(0);
}

const shipped = fileURLToPath(new URL('../models/paintbox', import.meta.url));
const folders = process.argv.length > 2 ? process.argv.slice(2) : [shipped];
const loadBefore = loadavg()[0]!;
const names = Object.keys(ways);
const tables = [];
for (const folder of folders) {
  const memoryMiB = names.map((name) => {
    const options = [...process.execArgv, fileURLToPath(import.meta.url), '--memory', name, folder];
    return Number(execFileSync(process.execPath, options, { encoding: 'utf8' }));
  });
  const ms: Record<number, number[]> = {};
  for (const side of [256, 512]) {
    // All are loaded at once: a model must fit into memory as often as there are ways.
    const unets: InferenceSession[] = [];
    for (const name of names) unets.push(await InferenceSession.create(graphIn(folder), ways[name]!));
    const inputs = inputsOf(unets[0]!, side);
    const times: number[][] = names.map(() => []);
    for (let i = 0; i < warmUps + runs; i++) {
      // Each begins a round as often as the others.
      for (const [k] of unets.entries()) {
        const turn = (i + k) % unets.length;
        await sleep(restMs);
        const start = performance.now();
        await unets[turn]!.run(inputs);
        if (i >= warmUps) times[turn]!.push(performance.now() - start);
      }
    }
    for (const unet of unets) await unet.release();
    ms[side] = times.map(median);
  }
  tables.push({ folder: basename(folder), memoryMiB, ms });
  console.log(JSON.stringify(tables.at(-1)));
}

const date = new Date().toISOString().slice(0, 10);
const machine = `${cores} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}, no GPU`;
const load = { before: loadBefore, after: loadavg()[0]! };
const cell = (values: readonly number[], i: number) =>
  `${values[i]!.toFixed(values[i]! < 100 ? 1 : 0)} | ${(values[i]! / values[0]!).toFixed(2)}`;
const text = tables.map(
  ({ folder, memoryMiB, ms }) => `## ${folder}

| setting | 256 x 256, ms | to ours | 512 x 512, ms | to ours | memory, MiB |
| --- | ---: | ---: | ---: | ---: | ---: |
${names.map((name, i) => `| ${name} | ${cell(ms[256]!, i)} | ${cell(ms[512]!, i)} | ${memoryMiB[i]!.toFixed(0)} |`).join('\n')}`,
);
writeResults(
  new URL('results-sessions.md', import.meta.url),
  `# Settings of onnxruntime

\`npm run bench:sessions\` on ${date}: ${machine}. Medians of ${runs} guided UNet calls (two rows) in turns, with ${restMs} ms of rest between them. Load average ${load.before.toFixed(1)} before and ${load.after.toFixed(1)} after.

Memory is that of a process with this one session, after two calls at 256 x 256.

${text.join('\n\n')}
`,
);
writeFileSync(
  new URL('results-sessions.json', import.meta.url),
  `${JSON.stringify({ date, machine, load, runs, names, tables }, null, 2)}\n`,
);
