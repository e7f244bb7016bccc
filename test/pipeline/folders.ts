// Model folders for tests: those of test/reference/families, put together, and rewritten as other exporters make them.

import { cpSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toHalf } from '../../src/pipeline/numbers/half.js';
import { dataTypes, GraphFile, type GraphNode } from '../../src/pipeline/onnx/graph-file.js';
import {
  bytesField,
  encodeMessage,
  type Field,
  fieldsOf,
  read,
  text,
  varintField,
} from '../../src/pipeline/onnx/wire.js';

export const families = ['sd', 'sd-v', 'sdxl', 'sdxl-refiner', 'lcm', 'instruct-pix2pix'] as const;
export type FamilyName = (typeof families)[number];

/** What of an export differs from optimum-onnx's: a scalar float timestep, int64 ids, latent_parameters, inline fp32 weights. */
export interface Variant {
  readonly timestep?: 'one' | 'batch';
  readonly timestepType?: 'int64' | 'float16';
  readonly ids?: 'int32';
  readonly encoder?: 'latent_sample';
  readonly weights?: 'external';
  /** Weights and all inputs and outputs that are floats. */
  readonly precision?: 'fp16';
}

const reference = fileURLToPath(new URL('../reference/families', import.meta.url));
/** What a family's folder takes from others. */
const shared: Readonly<Record<FamilyName, Partial<Record<FamilyName, readonly string[]>>>> = {
  sd: {},
  'sd-v': { sd: ['text_encoder', 'unet', 'vae_encoder', 'vae_decoder'] },
  sdxl: { sd: ['tokenizer', 'vae_encoder', 'vae_decoder'] },
  'sdxl-refiner': { sd: ['vae_encoder', 'vae_decoder'], sdxl: ['text_encoder_2', 'tokenizer_2'] },
  lcm: { sd: ['text_encoder', 'tokenizer', 'vae_encoder', 'vae_decoder'] },
  'instruct-pix2pix': { sd: ['text_encoder', 'tokenizer', 'vae_encoder', 'vae_decoder'] },
};

/** @returns the folder's path, below `parent` */
export function writeFolder(parent: string, family: FamilyName, variant: Variant = {}, name: string = family): string {
  const folder = join(parent, name);
  for (const [other, parts] of Object.entries(shared[family])) {
    for (const part of parts) cpSync(join(reference, other, part), join(folder, part), { recursive: true });
  }
  cpSync(join(reference, family), folder, { recursive: true });
  rewriteGraph(folder, 'unet', (graph) => {
    if (variant.timestep) giveTimestepARank(graph, variant.timestep === 'one' ? 1 : 'steps');
    if (variant.timestepType) castInput(graph, 'timestep', dataTypes[variant.timestepType], dataTypes.float32);
  });
  for (const component of ['text_encoder', 'text_encoder_2'] as const) {
    if (variant.ids)
      rewriteGraph(folder, component, (graph) => castInput(graph, 'input_ids', dataTypes.int32, dataTypes.int64));
  }
  if (variant.encoder) rewriteGraph(folder, 'vae_encoder', drawInside);
  for (const component of ['text_encoder', 'text_encoder_2', 'unet', 'vae_encoder', 'vae_decoder']) {
    if (variant.precision) {
      halveWeights(join(folder, component, 'model.onnx'));
      rewriteGraph(folder, component, halveInputsAndOutputs);
    }
    if (variant.weights) weightsBeside(folder, component);
  }
  return folder;
}

/** Changes a component's graph in place, its weights inline as before. */
export function rewriteGraph(folder: string, component: string, change: (graph: GraphFile) => void): void {
  const path = join(folder, component, 'model.onnx');
  if (!existsSync(path)) return;
  const graph = GraphFile.open(path);
  change(graph);
  graph.write(`${path}.new`);
  graph.close();
  renameSync(`${path}.new`, path);
}

export function node(
  opType: string,
  inputs: string[],
  outputs: string[],
  attributes: Record<string, number> = {},
): GraphNode {
  const rest = Object.entries(attributes).map(([name, value]) =>
    bytesField(5, encodeMessage([bytesField(1, name), varintField(3, value), varintField(20, 2)])),
  );
  return { opType, domain: '', inputs, outputs, rest };
}

/** The graph's one Unsqueeze of the scalar goes; then it takes [n]. */
function giveTimestepARank(graph: GraphFile, length: number | string): void {
  const consumer = graph.nodes.find(({ inputs }) => inputs.includes('timestep'))!;
  if (consumer.opType !== 'Unsqueeze') throw new Error(`timestep goes into ${consumer.opType}`);
  consumer.opType = 'Identity';
  consumer.inputs.length = 1;
  consumer.rest = [];
  graph.inputs.find(({ name }) => name === 'timestep')!.shape = [length];
  graph.dropInnerShapes();
}

function castInput(graph: GraphFile, name: string, to: number, inside: number): void {
  const input = graph.inputs.find((one) => one.name === name)!;
  for (const { inputs } of graph.nodes) {
    for (const [i, each] of inputs.entries()) if (each === name) inputs[i] = `${name}_inside`;
  }
  graph.nodes.unshift(node('Cast', [name], [`${name}_inside`], { to: inside }));
  input.dataType = to;
}

function halveInputsAndOutputs(graph: GraphFile): void {
  for (const { name, dataType } of graph.inputs) {
    if (dataType === dataTypes.float32) castInput(graph, name, dataTypes.float16, dataTypes.float32);
  }
  for (const output of graph.outputs) {
    if (output.dataType !== dataTypes.float32) continue;
    for (const { inputs, outputs } of graph.nodes) {
      for (const names of [inputs, outputs]) {
        for (const [i, each] of names.entries()) if (each === output.name) names[i] = `${output.name}_inside`;
      }
    }
    graph.nodes.push(node('Cast', [`${output.name}_inside`], [output.name], { to: dataTypes.float16 }));
    output.dataType = dataTypes.float16;
  }
}

/** As optimum did up to 1.22: mean + exp(log-variance / 2) * noise, drawn where no seed reaches. */
function drawInside(graph: GraphFile): void {
  graph.nodes.push(
    node('Split', ['latent_parameters'], ['mean', 'logvar'], { axis: 1, num_outputs: 2 }),
    node('Exp', ['logvar'], ['variance']),
    node('Sqrt', ['variance'], ['deviation']),
    node('RandomNormalLike', ['mean'], ['draw']),
    node('Mul', ['deviation', 'draw'], ['noise']),
    node('Add', ['mean', 'noise'], ['latent_sample']),
  );
  graph.outputs.splice(0, 1, {
    name: 'latent_sample',
    dataType: dataTypes.float32,
    shape: ['batch', 4, 'height', 'width'],
  });
}

/** Weights beside the graph, as exporters do with large ones. */
function weightsBeside(folder: string, component: string): void {
  const path = join(folder, component, 'model.onnx');
  if (!existsSync(path)) return;
  renameSync(path, `${path}_data`);
  moveWeights(`${path}_data`, path, 'model.onnx_data');
}

/** A graph whose weights lie in another one, which it calls by this name. */
export function moveWeights(from: string, to: string, name: string): void {
  const graph = GraphFile.open(from);
  graph.write(to, name);
  graph.close();
}

/** Each float32 weight becomes a float16 one, and a Cast back: the CPU's kernels are for float32. */
function halveWeights(path: string): void {
  if (!existsSync(path)) return;
  const casts: Field[] = [];
  const halved = (message: Uint8Array): Uint8Array => {
    const fields = [...fieldsOf(message)];
    const of = (number: number) => fields.find((field) => field.number === number);
    const raw = of(9)?.bytes;
    if (Number(of(2)!.value) !== dataTypes.float32 || !raw || read(raw).length <= 4) return message;
    const name = text(of(8)!.bytes);
    const floats = new Float32Array(new Uint8Array(read(raw)).buffer);
    const halves = toHalf(floats);
    casts.push(encodedCast(`${name}_half`, name));
    const changed: Record<number, Field> = {
      2: varintField(2, dataTypes.float16),
      8: bytesField(8, `${name}_half`),
      9: bytesField(9, new Uint8Array(halves.buffer)),
    };
    return encodeMessage(fields.map((field) => changed[field.number] ?? field));
  };
  const fields = [...fieldsOf(readFileSync(path))].map((field) => {
    if (field.number !== 7) return field;
    const graph = [...fieldsOf(field.bytes)].map((one) =>
      one.number === 5 ? bytesField(5, halved(read(one.bytes))) : one,
    );
    return bytesField(7, encodeMessage([...casts, ...graph]));
  });
  writeFileSync(path, encodeMessage(fields));
}

function encodedCast(from: string, to: string): Field {
  const { rest } = node('Cast', [], [], { to: dataTypes.float32 });
  return bytesField(1, encodeMessage([bytesField(1, from), bytesField(2, to), bytesField(4, 'Cast'), ...rest]));
}
