// npm run bench:loras [-- rounds]: what LoRAs beside the weights cost at Stable Diffusion 1.5's dimensions: a UNet call without any
// against one of a graph that takes none, and with ranks 16, 64 and 128; the first and the second use of one, and of one that is
// folded. Random weights, F16; the files are written for it and taken away. Writes results-loras.md.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { BranchedLoras } from '../src/engine/worker/branched-loras.js';
import { FoldedModels } from '../src/engine/worker/folded-models.js';
import { LoraModels } from '../src/engine/worker/lora-models.js';
import { LoraStore } from '../src/engine/worker/lora-store.js';
import { ModelStore } from '../src/engine/worker/model-store.js';
import { readModelFolder } from '../src/pipeline/folder/model-folder.js';
import type { RowBranches } from '../src/pipeline/lora/branches.js';
import type { Model } from '../src/pipeline/model.js';
import { TorchGenerator } from '../src/pipeline/numbers/noise.js';
import { Session } from '../src/pipeline/onnx/sessions.js';
import { runUnet, type UnetRow } from '../src/pipeline/unet.js';
import { writeRandomCheckpoint } from './checkpoints/random-checkpoint.js';
import { checkpointShapes } from './checkpoints/shapes.js';
import { machine } from './engine.js';

const rounds = Number(process.argv[2] ?? 5);
const side = 32; // latents of 256 x 256
const ranks = [16, 64, 128] as const;
const parent = mkdtempSync(join(tmpdir(), 'img2img-loras-'));
const lorasDir = join(parent, 'loras');
const device = { provider: 'cpu', threads: availableParallelism(), cacheDir: join(parent, 'cache') } as const;

/** All attention and feed-forward layers and both projections, in kohya's names; with convolutions it can only be folded. */
function writeLora(name: string, { folder }: Model, rank: number, convolution = false): void {
  const { unet } = folder.graphs;
  const places = typeof unet === 'object' && unet.branches ? unet.branches.places : new Map();
  const shapes: Record<string, number[]> = {};
  for (const [weight, { from, to }] of places) {
    const key = `lora_unet_${weight.slice(0, -'.weight'.length).replaceAll('.', '_')}`;
    shapes[`${key}.lora_down.weight`] = [rank, from];
    shapes[`${key}.lora_up.weight`] = [to, rank];
  }
  if (convolution) {
    shapes['lora_unet_conv_in.lora_down.weight'] = [rank, 4, 3, 3];
    shapes['lora_unet_conv_in.lora_up.weight'] = [320, rank, 1, 1];
  }
  writeRandomCheckpoint(join(lorasDir, `${name}.safetensors`), shapes);
}

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const start = performance.now();
  const value = await work();
  return { ms: performance.now() - start, value };
}

const noise = (...dims: number[]) => new TorchGenerator(1).randn(dims.reduce((a, b) => a * b, 1));
const prompt = { data: noise(77, 768), dims: [77, 768] };
const condition = {
  prompt: {
    embeds: prompt,
    negativeEmbeds: prompt,
    pooled: undefined,
    dropped: 0,
    beyondClip: 0,
    named: { used: [], unfit: [] },
  },
  inputs: {},
};
const rowsWith = (branches: RowBranches | undefined): UnetRow[] =>
  [0, 1].map(() => ({ sample: noise(4, side, side), timestep: 501, condition: { ...condition, branches } }));

interface Arm {
  readonly name: string;
  readonly model: Model;
  readonly rows: readonly UnetRow[];
  readonly cpuMs: number[];
}

async function main(): Promise<string> {
  for (const folder of [lorasDir, join(parent, 'models')]) mkdirSync(folder);
  writeRandomCheckpoint(join(parent, 'models/random.safetensors'), checkpointShapes['Stable Diffusion 1.5']);
  const load = loadavg()[0]!;
  const options = {
    ...{ ...device, modelsDir: join(parent, 'models'), measureRows: false, digests: {} },
    modelMemoryBytes: Number.POSITIVE_INFINITY,
  };
  const store = new ModelStore(options, {
    loading() {},
    warmUp: async () => ({ capacities: [], memoryNeeds: [] }),
    changed() {},
    componentLoaded() {},
  });
  await store.look();
  const base = await store.get('random', new Set());
  for (const rank of ranks) writeLora(`rank-${rank}`, base, rank);
  writeLora('folded', base, 16, true);
  const loras = new LoraStore(lorasDir, {});
  await loras.look();
  const inUse = () => new Set<Model>();
  const folded = new FoldedModels(store, loras, device, inUse, () => {});
  const models = new LoraModels(store, new BranchedLoras(loras, inUse), folded, inUse);
  const use = (name: string, scale: number) => {
    const entry = loras.loras.find((lora) => lora.name === name)!;
    return timed(() => models.get('random', [{ name, scale, digest: entry.runnable ? entry.digest : '' }]));
  };

  const arms: Arm[] = [];
  const uses: string[] = [];
  for (const rank of ranks) {
    const first = await use(`rank-${rank}`, 0.5);
    const second = await use(`rank-${rank}`, 0.75);
    const { sessions } = second.value;
    if (sessions.unet !== base.sessions.unet) throw new Error(`rank ${rank} was folded`);
    uses.push(`| rank ${rank}, beside the weights | ${first.ms.toFixed(0)} ms | ${second.ms.toFixed(1)} ms |`);
    arms.push({
      name: `rank ${rank}`,
      model: second.value,
      rows: rowsWith(second.value.branches?.rows.unet),
      cpuMs: [],
    });
  }
  const first = await use('folded', 0.5);
  if (first.value.sessions.unet === base.sessions.unet) throw new Error('a convolution was not folded');
  const again = await use('folded', 0.5);
  uses.push(`| rank 16 and a convolution, folded | ${first.ms.toFixed(0)} ms | ${again.ms.toFixed(1)} ms |`);
  await folded.makeRoom(() => false);

  const folder = readModelFolder(join(options.modelsDir, 'random.safetensors'), 'cpu');
  const { unet } = folder.graphs;
  if (typeof unet !== 'object') throw new Error('the graph is not written here');
  const plain = await Session.load('unet', unet.bytes, device, unet.folder);
  arms.unshift(
    {
      name: 'a graph that takes none',
      model: { ...base, folder, sessions: { ...base.sessions, unet: plain } },
      rows: rowsWith(undefined),
      cpuMs: [],
    },
    { name: 'none', model: base, rows: rowsWith(undefined), cpuMs: [] },
  );
  for (let round = 0; round <= rounds; round++) {
    for (const { model, rows, cpuMs } of round % 2 === 0 ? arms : arms.toReversed()) {
      const before = process.cpuUsage();
      await runUnet(model, rows, [4, side, side]);
      const { user, system } = process.cpuUsage(before);
      if (round > 0) cpuMs.push((user + system) / 1000); // the first is the warm-up
    }
  }
  const least = arms.map(({ cpuMs }) => Math.min(...cpuMs));
  const calls = arms.map(
    ({ name }, i) => `| ${name} | ${least[i]!.toFixed(0)} ms | ${(100 * (least[i]! / least[0]! - 1)).toFixed(1)} % |`,
  );
  return `# LoRAs beside the weights

${machine('npm run bench:loras')}
Load of the machine before: ${load.toFixed(1)}, after: ${loadavg()[0]!.toFixed(1)}. Stable Diffusion 1.5's dimensions, random weights in F16; LoRAs on all attention and feed-forward layers and both projections of the UNet, in F16.

A UNet call of two rows at 256 x 256: CPU time, the least of ${rounds} calls, taken in turns; what feeding the matrices takes is in it.

| LoRAs | CPU time | over the first |
| --- | --- | --- |
${calls.join('\n')}

Until a model with LoRAs is there, its base being loaded; the second use has another scale where they run beside the weights.

| LoRA | first use | second use |
| --- | --- | --- |
${uses.join('\n')}
`;
}

try {
  const text = await main();
  writeFileSync(new URL('results-loras.md', import.meta.url), text);
  console.log(text);
} finally {
  rmSync(parent, { recursive: true });
}
