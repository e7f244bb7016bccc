// What the parts of a checkpoint compute in, by device and settings, and half precision against diffusers' pictures. The graphs that
// a GPU gets run here on the provider for the CPU, which casts where it has no operator for half floats.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type ModelFolder, readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { inspectModel } from '../../src/pipeline/inspect-model.js';
import { type Model, releaseModel } from '../../src/pipeline/model.js';
import { graphFacts } from '../../src/pipeline/onnx/graph-facts.js';
import { dataTypes, GraphFile } from '../../src/pipeline/onnx/graph-file.js';
import { loadSessions } from '../../src/pipeline/onnx/sessions.js';
import { RecentValues } from '../../src/pipeline/recent-values.js';
import { generate, reference } from './cases.js';
import {
  type CheckpointFamily,
  checkpointCases,
  differences,
  maskedRequest,
  type WeightType,
  writeCheckpointFolder,
  writeSingleFile,
} from './checkpoints.js';
import { writeFolder } from './folders.js';

const parent = t.testdir();
const change = (path: string, values: object) =>
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...values }));

/** The parts in their order: `text_encoder fp16, unet fp16, …`. */
const told = ({ parts }: ModelFolder) => parts.map(({ part, computes }) => `${part} ${computes}`).join(', ');

const sd = writeSingleFile(join(parent, 'sd.safetensors'), 'sd', 'float16');
const xl = writeCheckpointFolder(join(parent, 'xl'), 'sdxl', 'bfloat16');
const tiny = writeCheckpointFolder(join(parent, 'tiny'), 'sd-taesd', 'float32');
const mixed = writeCheckpointFolder(join(parent, 'mixed'), 'sd');
rmSync(join(mixed, 'unet'), { recursive: true });
writeFolder(parent, 'sd', {}, 'exported');
const exported = join(parent, 'exported');

/** Writes what img2img.json says of the precision. */
function asking(path: string, precision?: unknown): string {
  const file = path.endsWith('.safetensors')
    ? path.replace('.safetensors', '.img2img.json')
    : join(path, 'img2img.json');
  rmSync(file, { force: true });
  if (precision !== undefined) writeFileSync(file, JSON.stringify({ precision }));
  return path;
}

t.test('parts compute in half precision on a GPU, but for the VAE of XL; settings go before', (t) => {
  const vae = join(xl, 'vae/config.json');
  const [all, halves] = [
    'text_encoder fp32, text_encoder_2 fp32, unet fp32, vae_encoder fp32, vae_decoder fp32',
    'text_encoder fp16, text_encoder_2 fp16, unet fp16, vae_encoder fp16, vae_decoder fp16',
  ] as const;
  const upcast = halves.replaceAll(/(vae_\w+) fp16/g, '$1 fp32');
  const ofSd = (line: string) => line.replace('text_encoder_2 fp32, ', '').replace('text_encoder_2 fp16, ', '');
  const cases: [what: string, path: string, precision: unknown, cpu: string, cuda: string][] = [
    ['SD', sd, undefined, ofSd(all), ofSd(halves)],
    ['SD with nothing', sd, null, ofSd(all), ofSd(halves)],
    ['SD with nothing said of its parts', sd, {}, ofSd(all), ofSd(halves)],
    ['SD in single', sd, 'fp32', ofSd(all), ofSd(all)],
    ['SD in half', sd, 'fp16', ofSd(halves), ofSd(halves)],
    ['SD with a VAE in single', sd, { vae: 'fp32' }, ofSd(all), ofSd(upcast)],
    ['SD with a tiny VAE', tiny, undefined, ofSd(all), ofSd(halves)],
    ['XL', xl, undefined, all, upcast],
    ['XL in half', xl, 'fp16', halves, halves],
    ['XL with a VAE in half', xl, { vae: 'fp16' }, all.replaceAll(/(vae_\w+) fp32/g, '$1 fp16'), halves],
    [
      'XL with an encoder in single',
      xl,
      { text_encoder_2: 'fp32' },
      all,
      upcast.replace('text_encoder_2 fp16', 'text_encoder_2 fp32'),
    ],
  ];
  for (const [what, path, precision, cpu, cuda] of cases) {
    asking(path, precision);
    t.equal(told(readModelFolder(path, 'cpu')), cpu, `${what}, CPU`);
    t.equal(told(readModelFolder(path, 'cuda')), cuda, `${what}, GPU`);
  }
  asking(xl);
  for (const [force, expected] of [
    [false, halves],
    [true, upcast],
    [null, upcast],
  ] as const) {
    change(vae, { force_upcast: force });
    t.equal(told(readModelFolder(xl, 'cuda')), expected, `force_upcast ${force}`);
  }
  t.match(readModelFolder(xl, 'cuda'), {
    precision: 'mixed',
    parts: [
      { weights: ['bf16'], computesFrom: 'the default on a GPU' },
      {},
      {},
      { computesFrom: 'force_upcast of the VAE' },
    ],
  });
  t.match(readModelFolder(asking(sd, 'fp16'), 'cpu'), {
    precision: 'fp16',
    parts: [{ computesFrom: 'precision in img2img.json' }],
  });
  asking(sd);
  t.end();
});

t.test('an exported graph computes in what it was exported in, whatever its weights are stored in', (t) => {
  t.match(readModelFolder(exported, 'cuda'), {
    precision: 'fp32',
    parts: [{ format: 'onnx', weights: ['fp32'], computes: 'fp32', computesFrom: 'its graph' }],
  });
  writeFolder(parent, 'sd', { precision: 'fp16' }, 'exported-half');
  const half = readModelFolder(join(parent, 'exported-half'), 'cpu').parts;
  for (const part of half) t.match(part, { computes: 'fp32', weights: ['fp16'] }, 'weights behind casts');
  for (const [type, stored] of [
    ['bfloat16', dataTypes.bfloat16],
    ['float16', dataTypes.float16],
  ] as const) {
    const path = writeCheckpointFolder(join(parent, `graph-${type}`), 'sd-taesd', type);
    for (const [device, computes] of [
      ['cpu', dataTypes.float32],
      ['cuda', dataTypes.float16],
    ] as const) {
      const graph = readModelFolder(path, device).graphs.unet;
      if (typeof graph !== 'object') throw new Error('not ours');
      const file = join(graph.folder, 'graph.onnx');
      writeFileSync(file, graph.bytes);
      const facts = graphFacts(file);
      t.strictSame([[...facts.weightTypes], [...facts.computes]], [[stored], [computes]]);
    }
  }
  t.end();
});

t.test('a precision that cannot be had is refused with its name and value', (t) => {
  writeFolder(parent, 'sd', {}, 'part');
  const ready = join(parent, 'part');
  const cases: [path: string, precision: unknown, reason: RegExp][] = [
    [sd, 'half', /^sd\.img2img\.json: precision is "half"; it must be one of fp32, fp16$/],
    [sd, 16, /^sd\.img2img\.json: precision is 16; it must be (a string|one of fp32, fp16)/],
    [sd, { unet: 'bf16' }, /^sd\.img2img\.json: precision\.unet is "bf16"; it must be one of fp32, fp16$/],
    [
      sd,
      { vae_decoder: 'fp16' },
      /^sd\.img2img\.json: "precision\.vae_decoder" is not known \(known: unet, transformer, vae, text_encoder, text_encoder_2, text_encoder_3, tiny_vae\)$/,
    ],
    [sd, ['fp16'], /^sd\.img2img\.json: precision/],
    [
      sd,
      { text_encoder_2: 'fp16' },
      /^img2img\.json has precision\.text_encoder_2, and the model has no text_encoder_2$/,
    ],
    [xl, { unet: 'fp8' }, /^img2img\.json: precision\.unet is "fp8"; it must be one of fp32, fp16$/],
    [ready, 'fp16', /^img2img\.json has precision, which is for safetensors; an exported ONNX graph computes in/],
    [ready, { unet: 'fp16' }, /^img2img\.json has precision\.unet, which is for safetensors/],
  ];
  for (const [path, precision, reason] of cases) {
    asking(path, precision);
    t.throws(() => readModelFolder(path, 'cpu'), { message: reason }, JSON.stringify(precision));
    asking(path);
  }
  change(join(xl, 'vae/config.json'), { force_upcast: 'yes' });
  t.throws(() => readModelFolder(xl, 'cpu'), {
    message: /^vae\/config\.json: force_upcast is "yes"; it must be a boolean$/,
  });
  change(join(xl, 'vae/config.json'), { force_upcast: null });
  t.end();
});

t.test('weights in half precision need no cast for it, others one each, and none is copied', (t) => {
  for (const type of ['float16', 'float32', 'bfloat16'] as const) {
    const path = writeCheckpointFolder(join(parent, `cast-${type}`), 'sd-taesd', type);
    const folder = readModelFolder(path, 'cuda');
    for (const [part, graph] of Object.entries(folder.graphs)) {
      if (typeof graph !== 'object') throw new Error(part);
      const file = join(parent, 'graph.onnx');
      writeFileSync(file, graph.bytes);
      const read = GraphFile.open(file);
      const weights = [...read.initializers()].filter(({ externalData }) => externalData);
      const casts = read.nodes.filter(({ opType }) => opType === 'Cast').map(({ inputs }) => inputs[0]!);
      const cast = weights.filter(({ name }) => casts.includes(name)).length;
      read.close();
      t.equal(cast, type === 'float16' ? 0 : weights.length, `${type}, ${part}`);
      t.ok(
        weights.every(({ externalData }) => externalData!.location.endsWith('.safetensors')),
        'weights lie in the model',
      );
      t.strictSame([...graph.facts.computes], [dataTypes.float16]);
      for (const { dataType } of graph.facts.inputs.values()) {
        t.ok([dataTypes.float32, dataTypes.int64].includes(dataType as 1), `${part} takes float32`);
      }
    }
    t.equal(folder.weightBytes.all, readModelFolder(path, 'cpu').weightBytes.all / 2, 'in half of the memory');
  }
  t.end();
});

/** The graphs for a GPU, on the CPU. */
async function loadAsOnGpu(path: string): Promise<Model> {
  const { folder, tokenizers } = inspectModel(path, 'cuda');
  const sessions = await loadSessions(folder, { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') });
  return { folder, tokenizers, sessions, promptCache: new RecentValues(2 ** 20), starterCache: new RecentValues(0) };
}

interface Half {
  readonly differences: readonly { readonly family: string; readonly seed: number; readonly mean: number }[];
}
const { differences: ofDiffusers } = JSON.parse(readFileSync(reference('half.json'), 'utf8')) as Half;
const compared: [family: CheckpointFamily, type: WeightType, parts: RegExp][] = [
  ['sd', 'float16', /unet fp16, vae_encoder fp16, vae_decoder fp16$/],
  ['sdxl', 'float16', /unet fp16, vae_encoder fp32, vae_decoder fp32$/],
  ['lcm', 'bfloat16', /unet fp16, vae_encoder fp16, vae_decoder fp16$/],
];

for (const [family, type, parts] of compared) {
  t.test(`${family}, ${type}: in half precision a picture is as near to diffusers' as its own half is`, async (t) => {
    const model = await loadAsOnGpu(writeCheckpointFolder(join(parent, `${family}-${type}`), family, type));
    t.match(told(model.folder), parts);
    const cases = checkpointCases.filter((one) => one.family === family && one.dtype === type);
    t.ok(cases.length > 0);
    for (const c of cases) {
      const [made] = await generate(model, [maskedRequest(c)]);
      const all = differences(made!.pixels.data, c);
      const mean = all.reduce((sum, each) => sum + each, 0) / all.length;
      const allowed = ofDiffusers.find((one) => one.family === family && one.seed === c.seed)!.mean;
      t.ok(mean <= allowed, `${c.scheduler}: ${mean.toFixed(3)} of 255 in the mean, diffusers' float16 ${allowed}`);
      t.ok(mean > 0, 'it is rounded otherwise than in single precision');
    }
    await releaseModel(model);
  });
}
