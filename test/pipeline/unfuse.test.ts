// Graphs that were optimised for CUDA or DirectML, on the CPU.

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { readModelFolder } from '../../src/pipeline/folder/model-folder.js';
import { loadModel, releaseModel } from '../../src/pipeline/model.js';
import { type Attribute, attributeFields } from '../../src/pipeline/onnx/attributes.js';
import { dataTypes, encodeNode, encodeValueInfo, type GraphNode } from '../../src/pipeline/onnx/graph-file.js';
import { patched } from '../../src/pipeline/onnx/patch.js';
import { type Input, Session } from '../../src/pipeline/onnx/sessions.js';
import { bytesField, encodeMessage, varintField } from '../../src/pipeline/onnx/wire.js';
import { type Case, generate, reference, requestOf } from './cases.js';
import { moveWeights, node, rewriteGraph, writeFolder } from './folders.js';

const parent = t.testdir();
const device = { provider: 'cpu', threads: 1, cacheDir: join(parent, 'cache') } as const;

// Made by test/reference/fused.py with onnxruntime's optimizer.
interface Expected {
  readonly inputs: Readonly<Record<string, number[]>>;
  /** Of the graph before the optimisation: float32 in base64. */
  readonly output: string;
}
const expected: Record<string, Expected> = JSON.parse(
  gunzipSync(readFileSync(reference('fused/expected.json.gz'))).toString(),
).graphs;
const fusedGraph = (name: string) => gunzipSync(readFileSync(reference(`fused/${name}.onnx.gz`)));

/** As the script makes them. */
function valuesOf(name: string, dims: readonly number[]): Input {
  const count = dims.reduce((a, b) => a * b, 1);
  const value = (i: number) => (name === 'timestep' ? 500 : Math.sin(i * 1.7 + name.length));
  return { data: Float32Array.from({ length: count }, (_, i) => value(i)), dims };
}

const furthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  a.length === b.length ? Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!))) : Number.POSITIVE_INFINITY;

async function outputOf(path: string, feeds: Readonly<Record<string, Input>>): Promise<Float32Array> {
  const better = patched(path, ['unfuse'], device.cacheDir);
  const session = await Session.load('unet', better?.path ?? path, device, better?.weightsFolder);
  const [output] = await session.run(feeds);
  await session.release();
  return output!.data;
}

function written(name: string, bytes: Uint8Array): string {
  const path = join(parent, name, 'model.onnx');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

for (const [name, part, limit] of [
  ['unet', 'unet', 1e-3],
  ['vae_encoder', 'vae_encoder', 1e-3],
  ['vae_decoder', 'vae_decoder', 1e-3],
  ['unet-half', 'unet', 2e-2],
] as const) {
  t.test(`${name}: what the optimizer made for CUDA gives on the CPU what it gave before`, async (t) => {
    const { inputs, output } = expected[part]!;
    const feeds = Object.fromEntries(Object.entries(inputs).map(([input, dims]) => [input, valuesOf(input, dims)]));
    const wanted = new Float32Array(new Uint8Array(Buffer.from(output, 'base64')).buffer);
    const path = written(name, fusedGraph(name));
    const given = await outputOf(path, feeds);
    t.ok(furthest(given, wanted) <= limit, `off by ${furthest(given, wanted)}`);
    t.ok(wanted.some((x) => Math.abs(x) > 0.5));
    if (name === 'unet-half') return;
    renameSync(path, `${path}.data`);
    moveWeights(`${path}.data`, path, 'model.onnx.data');
    t.strictSame(await outputOf(path, feeds), given, 'with weights beside the graph');
  });
}

/** A model of one operator of onnxruntime's. */
function modelOf(fused: GraphNode, inputs: Readonly<Record<string, Input>>, half: boolean, opset: number): Uint8Array {
  const type = half ? dataTypes.float16 : dataTypes.float32;
  const norms = fused.opType.endsWith('GroupNorm') ? ['gamma', 'beta'] : [];
  const value = (name: string, dims: readonly number[]) =>
    encodeValueInfo({ name, dataType: norms.includes(name) ? dataTypes.float32 : type, shape: [...dims] });
  return encodeMessage([
    varintField(1, 8),
    bytesField(
      7,
      encodeMessage([
        bytesField(1, encodeNode(fused)),
        bytesField(2, 'one'),
        ...Object.entries(inputs).map(([name, { dims }]) => bytesField(11, value(name, dims))),
        bytesField(12, encodeValueInfo({ name: 'y', dataType: type, shape: undefined })),
      ]),
    ),
    bytesField(8, encodeMessage([varintField(2, opset)])),
    bytesField(8, encodeMessage([bytesField(1, 'com.microsoft'), varintField(2, 1)])),
  ]);
}

const at = (input: Input, ...place: number[]): number =>
  input.data[place.reduce((index, each, i) => index * input.dims[i]! + each, 0)]!;

/** All places of a shape, in order. */
function* placesIn(dims: readonly number[]): Generator<number[]> {
  const [count, ...rest] = dims;
  if (count === undefined) yield [];
  else for (let i = 0; i < count; i++) for (const inner of placesIn(rest)) yield [i, ...inner];
}
const arrayOf = (dims: readonly number[], value: (...place: number[]) => number): Input => ({
  data: Float32Array.from([...placesIn(dims)], (place) => value(...place)),
  dims,
});

const erf = (x: number) => {
  // Its power series, which is exact enough for small numbers.
  let [sum, term] = [x, x];
  for (let n = 1; n < 60; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
};
const gelu = (x: number) => 0.5 * x * (1 + erf(x / Math.SQRT2));

/** By its definition. @param x with the channels last */
function groupNormed(x: Input, gamma: Input, beta: Input, groups: number, active: boolean): Input {
  const [rows, height, width, channels] = x.dims as [number, number, number, number];
  const size = channels / groups;
  const moments = arrayOf([rows, groups, 2], (n, g, which) => {
    const members = [...placesIn([height, width, size])].map(([h, w, c]) => at(x, n!, h!, w!, g! * size + c!));
    const mean = members.reduce((a, b) => a + b, 0) / members.length;
    return which === 0 ? mean : members.reduce((sum, each) => sum + (each - mean) ** 2, 0) / members.length;
  });
  return arrayOf(x.dims, (n, h, w, c) => {
    const group = Math.floor(c! / size);
    const even = (at(x, n!, h!, w!, c!) - at(moments, n!, group, 0)) / Math.sqrt(at(moments, n!, group, 1) + 1e-5);
    const y = even * at(gamma, c!) + at(beta, c!);
    return active ? y / (1 + Math.exp(-y)) : y;
  });
}

function attended(q: Input, k: Input, v: Input): Input {
  const [rows, tokens, heads, width] = q.dims as [number, number, number, number];
  const keys = k.dims[1]!;
  return arrayOf([rows, tokens, heads, width], (n, i, h, d) => {
    const scores = Array.from({ length: keys }, (_, j) => {
      const products = Array.from({ length: width }, (_, e) => at(q, n!, i!, h!, e) * at(k, n!, j, h!, e));
      return Math.exp(products.reduce((a, b) => a + b, 0) / Math.sqrt(width));
    });
    const sum = scores.reduce((a, b) => a + b, 0);
    return scores.reduce((total, score, j) => total + (score / sum) * at(v, n!, j, h!, d!), 0);
  });
}

const [picture, channels] = [[2, 3, 4, 8], [8]] as const;
const x = valuesOf('x', picture);
const gamma = valuesOf('gamma', channels);
const beta = valuesOf('beta', channels);
const bias = valuesOf('bias', channels);
const skip = valuesOf('skip', picture);
const perRow = valuesOf('skip', [2, 8]);
const channelsFirst = arrayOf([2, 8, 3, 4], (n, c, h, w) => at(x, n!, h!, w!, c!));
const norm = { groups: 4, epsilon: { float: 1e-5 } };
const wide = valuesOf('wide', [2, 3, 16]);
const wideBias = valuesOf('bias', [16]);
const filters = valuesOf('filters', [6, 3, 3, 8]);
const filterBias = valuesOf('bias', [6]);
const convolved = arrayOf([2, 2, 2, 6], (n, h, w, m) => {
  const taps = [...placesIn([3, 3, 8])].map(([i, j, c]) => {
    const [row, column] = [2 * h! + i! - 1, 2 * w! + j! - 1];
    const inside = row >= 0 && row < 3 && column >= 0 && column < 4;
    return inside ? at(x, n!, row, column, c!) * at(filters, m!, i!, j!, c!) : 0;
  });
  return taps.reduce((a, b) => a + b, at(filterBias, m!));
});
const packed = valuesOf('packed', [2, 5, 2, 3, 4]);
const ofPacked = (which: number) => arrayOf([2, 5, 2, 4], (n, i, h, d) => at(packed, n!, i!, h!, which, d!));
const query = valuesOf('query', [2, 3, 8]);
const keysAndValues = valuesOf('keys', [2, 5, 2, 2, 4]);
const ofKeys = (which: number) => arrayOf([2, 5, 2, 4], (n, i, h, d) => at(keysAndValues, n!, i!, h!, which, d!));
const sum = (...parts: ((...place: number[]) => number)[]) =>
  arrayOf(picture, (...place) => parts.reduce((total, part) => total + part(...place), 0));
const inX = (...place: number[]) => at(x, ...place);
const inSkip = (...place: number[]) => at(skip, ...place);
const inBias = (...place: number[]) => at(bias, place[3]!);

interface Operator {
  readonly opType: string;
  readonly inputs: Readonly<Record<string, Input>>;
  /** '' for one that is left out. */
  readonly order?: readonly string[];
  readonly outputs?: string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly expected: Input;
}

const operators: Readonly<Record<string, Operator>> = {
  GroupNorm: {
    opType: 'GroupNorm',
    inputs: { x, gamma, beta },
    attributes: { ...norm, activation: 0 },
    expected: groupNormed(x, gamma, beta, 4, false),
  },
  'GroupNorm with SiLU': {
    opType: 'GroupNorm',
    inputs: { x, gamma, beta },
    attributes: { ...norm, activation: 1, channels_last: 1 },
    expected: groupNormed(x, gamma, beta, 4, true),
  },
  'GroupNorm with the channels first': {
    opType: 'GroupNorm',
    inputs: { x: channelsFirst, gamma, beta },
    attributes: { ...norm, activation: 0, channels_last: 0 },
    expected: arrayOf([2, 8, 3, 4], (n, c, h, w) => at(groupNormed(x, gamma, beta, 4, false), n!, h!, w!, c!)),
  },
  'SkipGroupNorm of two pictures and a bias': {
    opType: 'SkipGroupNorm',
    inputs: { x, gamma, beta, skip, bias },
    attributes: { ...norm, activation: 1 },
    expected: groupNormed(sum(inX, inSkip, inBias), gamma, beta, 4, true),
  },
  'SkipGroupNorm with a number for each row and channel': {
    opType: 'SkipGroupNorm',
    inputs: { x, gamma, beta, skip: perRow },
    attributes: { ...norm, activation: 1 },
    expected: groupNormed(
      sum(inX, (n, _h, _w, c) => at(perRow, n!, c!)),
      gamma,
      beta,
      4,
      true,
    ),
  },
  'the sum that SkipGroupNorm also gives': {
    opType: 'SkipGroupNorm',
    inputs: { x, gamma, beta, skip, bias },
    outputs: ['normed', 'y'],
    attributes: { ...norm, activation: 0 },
    expected: sum(inX, inSkip, inBias),
  },
  BiasAdd: { opType: 'BiasAdd', inputs: { x, bias, skip }, expected: sum(inX, inSkip, inBias) },
  BiasSplitGelu: {
    opType: 'BiasSplitGelu',
    inputs: { x: wide, bias: wideBias },
    expected: arrayOf([2, 3, 8], (n, i, d) => {
      const [left, right] = [d!, d! + 8].map((place) => at(wide, n!, i!, place) + at(wideBias, place));
      return left! * gelu(right!);
    }),
  },
  'NhwcConv with a stride and padding': {
    opType: 'NhwcConv',
    inputs: { x, filters, bias: filterBias },
    attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], dilations: [1, 1], group: 1 },
    expected: convolved,
  },
  'MultiHeadAttention with query, key and value packed': {
    opType: 'MultiHeadAttention',
    inputs: { packed },
    attributes: { num_heads: 2 },
    expected: attended(ofPacked(0), ofPacked(1), ofPacked(2)),
  },
  'MultiHeadAttention with key and value packed': {
    opType: 'MultiHeadAttention',
    inputs: { query, keys: keysAndValues },
    attributes: { num_heads: 2 },
    expected: attended({ data: query.data, dims: [2, 3, 2, 4] }, ofKeys(0), ofKeys(1)),
  },
};

t.test('each operator gives by what it is rewritten to what its definition says', async (t) => {
  for (const [name, operator] of Object.entries(operators)) {
    const { opType, inputs, order = Object.keys(inputs), outputs = ['y'], attributes = {} } = operator;
    const fused: GraphNode = {
      ...{ opType, domain: 'com.microsoft', outputs, inputs: [...order] },
      rest: attributeFields(attributes),
    };
    for (const [half, opset, limit] of [
      [false, 18, 1e-4],
      [false, 13, 1e-4],
      [true, 14, 3e-2],
    ] as const) {
      const told = `${name}, ${half ? 'float16' : 'float32'}, opset ${opset}`;
      const path = written(told, modelOf(fused, inputs, half, opset));
      const given = await outputOf(path, inputs);
      const off = furthest(given, operator.expected.data);
      t.ok(off <= limit, `${told}: off by ${off}`);
    }
  }
});

/** A Stable Diffusion folder whose UNet and VAE were optimised for CUDA. */
function fusedFolder(name: string, unet = 'unet'): string {
  const folder = writeFolder(parent, 'sd', {}, name);
  for (const [part, graph] of Object.entries({ unet, vae_encoder: 'vae_encoder', vae_decoder: 'vae_decoder' })) {
    writeFileSync(join(folder, part, 'model.onnx'), fusedGraph(graph));
  }
  return folder;
}

t.test('such a folder runs on the CPU, shares calls, and needs a cache', async (t) => {
  const { cases } = JSON.parse(readFileSync(reference('families.json'), 'utf8')) as { cases: Case[] };
  const [c] = cases;
  for (const unet of ['unet', 'unet-half']) {
    const model = await loadModel(fusedFolder(unet, unet), device);
    const requests = [requestOf(c!), requestOf({ ...c!, seed: 5, steps: 7 })];
    const alone: Uint8Array[] = [];
    for (const request of requests) alone.push((await generate(model, [request]))[0]!.pixels.data);
    const together = (await generate(model, requests)).map(({ pixels }) => pixels.data);
    t.strictSame(together, alone, unet);
    t.not(Buffer.compare(alone[0]!, alone[1]!), 0);
    await releaseModel(model);
  }
  const full = { ...device, cacheDir: join(parent, 'unet', 'model_index.json') };
  await t.rejects(loadModel(join(parent, 'unet'), full), {
    message:
      /^(unet|vae_encoder|vae_decoder)\/model\.onnx was optimised for a GPU and cannot be rewritten for the CPU: /,
  });
});

t.test('operators that are not known are refused by their names, on the CPU only', (t) => {
  const unknown: Readonly<Record<string, Record<string, number>>> = {
    PackedMultiHeadAttention: {},
    NhwcFusedConv: {},
    GroupNorm: { groups: 4, activation: 2 },
    SkipGroupNorm: { activation: 1 },
  };
  for (const [opType, attributes] of Object.entries(unknown)) {
    const folder = writeFolder(parent, 'sd', {}, `unknown-${opType}`);
    rewriteGraph(folder, 'unet', ({ nodes }) => {
      nodes.push({ ...node(opType, ['sample'], ['fused'], attributes), domain: 'com.microsoft' });
    });
    t.throws(() => readModelFolder(folder, 'cpu'), {
      message: `unet/model.onnx was optimised for CUDA (it has ${opType}), and this server runs on the CPU; use an NVIDIA GPU or the export before the optimisation`,
    });
    t.doesNotThrow(() => readModelFolder(folder, 'cuda'));
    rmSync(folder, { recursive: true });
  }
  t.end();
});
