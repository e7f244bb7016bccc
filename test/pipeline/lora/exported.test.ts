// LoRAs on exported graphs: weights are found by the names of the nodes that take them, and pictures are diffusers' with fuse_lora.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import t from 'tap';
import { readModelFolder } from '../../../src/pipeline/folder/model-folder.js';
import { changedExport, exportedWeights } from '../../../src/pipeline/lora/exported-graph.js';
import { familyForLoras, familyOfLora } from '../../../src/pipeline/lora/family.js';
import { fold } from '../../../src/pipeline/lora/fold.js';
import { loraOf, readLora } from '../../../src/pipeline/lora/lora-file.js';
import { loadFolded, loadModel, type Model, releaseModel } from '../../../src/pipeline/model.js';
import { toHalf } from '../../../src/pipeline/numbers/half.js';
import { attributeFields } from '../../../src/pipeline/onnx/attributes.js';
import { dataTypes, encodeNode, encodeValueInfo } from '../../../src/pipeline/onnx/graph-file.js';
import { bytesField, encodeMessage, type Field, varintField } from '../../../src/pipeline/onnx/wire.js';
import { readHeader } from '../../../src/pipeline/safetensors/header.js';
import { type Case, generate, reference, requestOf } from '../cases.js';
import { encoded, values } from '../checkpoints.js';
import { rewriteGraph, type Variant, writeFolder } from '../folders.js';
import { writeSafetensors } from '../safetensors/write.js';

const parent = t.testdir();
const device = { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') } as const;

interface ExportedCase extends Case {
  readonly family: 'sd' | 'sdxl';
  readonly scale: number;
}
const { files, cases } = JSON.parse(readFileSync(reference('exported_loras.json'), 'utf8')) as {
  files: Readonly<Record<ExportedCase['family'], Readonly<Record<string, readonly number[] | number>>>>;
  cases: readonly ExportedCase[];
};

function loraFile(family: ExportedCase['family']): string {
  const path = join(parent, `${family}.safetensors`);
  const written = Object.entries(files[family]).map(([key, entry]) => {
    const scalar = typeof entry === 'number';
    const numbers = scalar ? Float32Array.of(entry) : values(key, entry);
    return [key, { shape: scalar ? [] : entry, ...encoded(numbers, 'float32') }] as const;
  });
  writeSafetensors(path, Object.fromEntries(written));
  return path;
}

/** Samples that differ from diffusers' by more than so many, as a share. */
function beyond(data: Uint8Array, { pixels }: Case, most: number): number {
  const expected = Buffer.from(pixels, 'base64');
  return expected.filter((sample, i) => Math.abs(data[i]! - sample) > most).length / expected.length;
}

async function picture(model: Model, c: Case): Promise<Uint8Array> {
  const [made] = await generate(model, [requestOf(c)]);
  return made!.pixels.data;
}

const variants: readonly (readonly [name: string, variant: Variant, most: number])[] = [
  ['weights inline', {}, 1],
  ['weights beside, ids as int32, a timestep per row', { weights: 'external', ids: 'int32', timestep: 'batch' }, 1],
  // Half floats have three digits: a step's rounding moves a sample by some.
  ['half precision', { precision: 'fp16' }, 4],
];

for (const family of ['sd', 'sdxl'] as const) {
  for (const [name, variant, most] of variants) {
    t.test(`${family}, ${name}: an export with LoRAs gives diffusers' pictures`, async (t) => {
      const base = await loadModel(writeFolder(parent, family, variant, `${family} ${name}`), device);
      t.equal(familyForLoras(base.folder), family === 'sd' ? 'sd1' : 'sdxl');
      const own = cases.filter((c) => c.family === family);
      for (const c of own) {
        const folded = fold(base.folder, [{ name: 'one', scale: c.scale, file: readLora(loraFile(family)) }]);
        t.equal(folded.unusedKeys, 0);
        const model = await loadFolded(base, folded, device);
        t.equal(model.sessions.vae_decoder, base.sessions.vae_decoder, 'what no LoRA touches is shared');
        const share = beyond(await picture(model, c), c, most);
        t.ok(share <= 0.001, `scale ${c.scale}: ${(100 * share).toFixed(2)} % differ by more than ${most}`);
        await releaseModel(model);
      }
      t.ok(beyond(await picture(base, own[0]!), own[0]!, most) > 0.5, 'without them it is another picture');
      await releaseModel(base);
    });
  }
}

// One layer at a time: y = x * W^T, as exporters write it.
const [to, from] = [2, 3];
const weight = values('weight', [to, from]);
const at = (row: number, column: number) => weight[row * from + column]!;
const turned = Float32Array.from({ length: to * from }, (_, i) => at(i % to, Math.floor(i / to)));

interface Layer {
  readonly op: 'MatMul' | 'Gemm' | 'Conv';
  readonly stored: Float32Array;
  readonly dims: readonly number[];
  readonly transB?: 0 | 1;
  /** Between the weight and what takes it. */
  readonly through?: 'Transpose' | 'Cast';
  readonly half?: boolean;
}
const layers: Readonly<Record<string, Layer>> = {
  'MatMul, whose weight lies transposed': { op: 'MatMul', stored: turned, dims: [from, to] },
  'MatMul behind a Transpose': { op: 'MatMul', stored: weight, dims: [to, from], through: 'Transpose' },
  'Gemm, as torch keeps it': { op: 'Gemm', stored: weight, dims: [to, from], transB: 1 },
  'Gemm, transposed': { op: 'Gemm', stored: turned, dims: [from, to], transB: 0 },
  'Conv of one pixel': { op: 'Conv', stored: weight, dims: [to, from, 1, 1] },
  'MatMul behind a Cast': { op: 'MatMul', stored: turned, dims: [from, to], through: 'Cast' },
  'MatMul in half precision': { op: 'MatMul', stored: turned, dims: [from, to], half: true },
};

function tensor(name: string, { stored, dims, half = false }: Layer): Field {
  const data = half ? toHalf(stored) : stored;
  return bytesField(
    5,
    encodeMessage([
      ...dims.map((dim) => varintField(1, dim)),
      varintField(2, half ? dataTypes.float16 : dataTypes.float32),
      bytesField(8, name),
      bytesField(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    ]),
  );
}

/** @param name of the node that takes the weight @param times that it is taken @param own name of the weight */
function writeLayer(path: string, layer: Layer, name: string, times = 1, own = 'w'): void {
  const { op, transB, through, half = false } = layer;
  const dataType = half ? dataTypes.float16 : dataTypes.float32;
  const wide = op === 'Conv' ? [1, from, 1, 1] : [1, from];
  const node = (opType: string, inputs: string[], output: string, rest: Field[]) =>
    bytesField(1, encodeNode({ opType, domain: '', inputs, outputs: [output], rest }));
  const taken = through ? 'turned' : own;
  const graph = [
    ...(through
      ? [node(through, [own], taken, attributeFields(through === 'Cast' ? { to: dataType } : { perm: [1, 0] }))]
      : []),
    ...Array.from({ length: times }, (_, i) =>
      node(op, ['x', taken], `y${i}`, [
        bytesField(3, i === 0 ? name : `${name}${i}`),
        ...attributeFields(transB === undefined ? {} : { transB }),
      ]),
    ),
    bytesField(2, 'layer'),
    tensor(own, layer),
    bytesField(11, encodeValueInfo({ name: 'x', dataType, shape: wide })),
    ...Array.from({ length: times }, (_, i) =>
      bytesField(12, encodeValueInfo({ name: `y${i}`, dataType, shape: op === 'Conv' ? [1, to, 1, 1] : [1, to] })),
    ),
  ];
  const model = [
    varintField(1, 8),
    bytesField(7, encodeMessage(graph)),
    bytesField(8, encodeMessage([varintField(2, 17)])),
  ];
  writeFileSync(path, encodeMessage(model));
}

for (const [name, layer] of Object.entries(layers)) {
  t.test(`${name}: its weight becomes itself plus scale times up times down`, async (t) => {
    const path = join(parent, `${name}.onnx`);
    writeLayer(path, layer, '/mid_block/attentions.0/proj_in/node');
    const key = 'mid_block.attentions.0.proj_in.weight';
    t.strictSame(
      [...exportedWeights(path)].map(([key, { shape }]) => [key, shape]),
      [[key, layer.op === 'Conv' ? [to, from, 1, 1] : [to, from]]],
    );
    const file = join(parent, `${name}.safetensors`);
    const [down, up] = [values('down', [1, from]), values('up', [to, 1])];
    writeSafetensors(file, {
      'unet.a.lora_A.weight': { shape: [1, from], ...encoded(down.slice(), 'float32') },
      'unet.a.lora_B.weight': { shape: [to, 1], ...encoded(up.slice(), 'float32') },
    });
    const { factors } = loraOf(readHeader(file)).modules[0]!;
    const scale = -0.75;
    const graph = changedExport(path, new Map([[key, [{ scale, factors }]]]));
    t.equal(graph.weightBytes, to * from * (layer.half ? 2 : 4));
    const { bytes, folder } = graph.over({ path, weightsFolder: parent });
    const extra = { session: { model_external_initializers_file_folder_path: folder } };
    const session = await InferenceSession.create(bytes, { extra });
    const x = values('x', [from]);
    const dims = layer.op === 'Conv' ? [1, from, 1, 1] : [1, from];
    const input = layer.half ? new Tensor('float16', toHalf(x), dims) : new Tensor('float32', x, dims);
    if (layer.half) (input as unknown as { cpuData: Uint16Array }).cpuData = toHalf(x);
    const { y0 } = await session.run({ x: input });
    const got = layer.half ? fromHalves(y0!.data) : [...(y0!.data as Float32Array)];
    for (let row = 0; row < to; row++) {
      let expected = 0;
      for (let i = 0; i < from; i++) expected += x[i]! * (at(row, i) + scale * up[row]! * down[i]!);
      t.ok(Math.abs(got[row]! - expected) < (layer.half ? 2e-3 : 1e-6), `${got[row]} is ${expected}`);
    }
    await session.release();
  });
}

function fromHalves(data: unknown): number[] {
  const { buffer, byteOffset, length } = data as Uint16Array;
  return [...new Uint16Array(buffer, byteOffset, length)].map((half) => {
    const [sign, exponent, fraction] = [half >> 15 ? -1 : 1, (half >> 10) & 31, half & 1023];
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

t.test('what neither a node nor a weight tells is no weight of any module', async (t) => {
  const layer = layers['Gemm, as torch keeps it']!;
  const names: [name: string, node: string, times: number, found: string[]][] = [
    [
      'a wrapper around the model',
      '/module/up_blocks.1/resnets.0/conv1/Conv',
      1,
      ['up_blocks.1.resnets.0.conv1.weight'],
    ],
    ['no name', '', 1, []],
    ['a number', 'node_linear_7', 1, []],
    ['another program', '/time_linear1/Gemm', 1, []],
    ['a weight that two modules share', '/mid_block/attentions.0/proj_in/Gemm', 2, []],
  ];
  for (const [name, node, times, found] of names) {
    const path = join(parent, `${name}.onnx`);
    writeLayer(path, layer, node, times);
    t.strictSame([...exportedWeights(path).keys()], found, name);
  }
  const kept: [own: string, node: string, found: string[]][] = [
    ['down.1.attention.to_q.weight', '/attention/to_q/MatMul', ['down.1.attention.to_q.weight']],
    ['down.1.attention.to_q.weight_float16', 'node_7', ['down.1.attention.to_q.weight']],
    ['onnx::MatMul_7', '/attention/to_q/MatMul', []],
    ['weight', '', []],
    ['val_7.weight.1', '', []],
  ];
  for (const [own, node, found] of kept) {
    const path = join(parent, 'kept.onnx');
    writeLayer(path, layer, node, 1, own);
    t.strictSame([...exportedWeights(path).keys()], found, `a weight called ${own}`);
  }
  const folder = writeFolder(parent, 'sd', {}, 'nameless');
  rewriteGraph(folder, 'unet', (graph) => {
    for (const node of graph.nodes) node.rest = node.rest.filter(({ number }) => number !== 3);
  });
  const model = await loadModel(folder, device);
  t.equal(familyForLoras(model.folder), undefined);
  await releaseModel(model);
});

t.test('LoRAs and models of other architectures know each other', (t) => {
  const families: readonly (readonly [module: string, family: string])[] = [
    ['unet.down_blocks.0.attentions.0.proj_in', 'unknown'],
    ['lora_unet_time_embed_0', 'unknown'],
    ['unet.conv_in', 'unknown'],
    ['unet.down.1.attention.to_q', 'other'],
    ['unet.blocks.3.mlp', 'other'],
    ['text_encoder.layers.0.fc1', 'unknown'],
  ];
  for (const [module, family] of families) {
    const file = join(parent, 'family.safetensors');
    writeSafetensors(file, {
      [`${module}.lora_A.weight`]: { shape: [1, from], ...encoded(values('a', [from]), 'float32') },
      [`${module}.lora_B.weight`]: { shape: [to, 1], ...encoded(values('b', [to]), 'float32') },
    });
    t.equal(familyOfLora(readLora(file)), family, module);
  }
  t.equal(familyForLoras(readModelFolder('models/paintbox', 'cpu')), 'other');
  t.end();
});
