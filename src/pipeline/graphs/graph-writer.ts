// Writes ONNX graphs whose weights stay where they are: initializers point into the files that the user has (external data:
// file, offset, length). So a graph takes some hundred kilobytes, whatever its weights take. Field numbers from onnx.proto3.

import { dirname, relative, sep } from 'node:path';
import type { ComputingPrecision } from '../../model-facts.js';
import { toHalf } from '../numbers/half.js';
import { type Attribute, attributeFields } from '../onnx/attributes.js';
import type { GraphFacts } from '../onnx/graph-facts.js';
import { dataTypes, encodeNode, encodeValueInfo, externalData, type ValueInfo } from '../onnx/graph-file.js';
import { bytesField, encodeMessage, type Field, varintField } from '../onnx/wire.js';
import { type Dtype, dtypeBytes, type TensorPlace } from '../safetensors/header.js';

/** A graph that is not in a file. */
export interface WrittenGraph {
  /** Below it lie the files that the graph points into. */
  readonly folder: string;
  readonly facts: GraphFacts;
  readonly bytes: Uint8Array;
  /** What its weights take as what the graph computes in, which they become when they are loaded. */
  readonly weightBytes: number;
  /** Where its inputs for LoRAs have each layer; absent where it has none. */
  readonly branches?: BranchLayout;
  /** The same graph over one file of weights beside it. @param location that file's name */
  gathered(location: string): GatheredGraph;
}

/** Where a layer's matrices begin in the widths of a graph's inputs for LoRAs: `from` numbers of down, and `to` of up. */
export interface BranchPlace {
  readonly down: number;
  readonly from: number;
  readonly up: number;
  readonly to: number;
}

export interface BranchLayout {
  readonly downsWidth: number;
  readonly upsWidth: number;
  /** By the weight's name. */
  readonly places: ReadonlyMap<string, BranchPlace>;
}

export interface GatheredGraph {
  readonly bytes: Uint8Array;
  /** What the file of weights holds, and where; between them it is empty. */
  readonly weights: readonly { readonly from: TensorPlace; readonly at: number }[];
  /** Of the file of weights. */
  readonly weightBytes: number;
}

/** Where weights begin in a file of their own: readers of any device take them from there. */
const alignment = 64;

/** The name of a value in the graph. */
export type Value = string;

const opset = 17;
const irVersion = 8;
const weightTypes: Readonly<Partial<Record<Dtype, number>>> = {
  F32: dataTypes.float32,
  F16: dataTypes.float16,
  BF16: dataTypes.bfloat16,
  F64: dataTypes.float64,
};
const computed = { fp32: dataTypes.float32, fp16: dataTypes.float16 } as const;
const bytesPerNumber = { fp32: 4, fp16: 2 } as const;
/** onnxruntime's own operators; none of them has a name of ONNX's at this opset. */
const contributed: readonly string[] = ['MultiHeadAttention', 'QuickGelu', 'Gelu', 'FastGelu', 'FusedMatMul'];

export class GraphWriter {
  private readonly nodes: Field[] = [];
  private readonly constants: Field[] = [];
  private readonly weights = new Map<string, TensorPlace>();
  private readonly known = new Map<string, Value>();
  private readonly inputs: ValueInfo[] = [];
  private readonly outputs: ValueInfo[] = [];
  private names = 0;

  /**
   * @param precision that it computes in; whatever it does, it takes and gives float32
   * @param prefix of the names of its values, where it becomes a part of another graph
   */
  constructor(
    readonly precision: ComputingPrecision = 'fp32',
    private readonly prefix = '',
  ) {}

  /** In `dataTypes`. */
  private get computes(): number {
    return computed[this.precision];
  }

  /** @param shape numbers are fixed, names are free */
  input(name: string, dataType: number, shape: readonly (number | string)[]): Value {
    this.inputs.push({ name, dataType, shape: [...shape] });
    return name;
  }

  /** An input of floats, as what the graph computes in. */
  floatInput(name: string, shape: readonly (number | string)[]): Value {
    return this.toComputed(this.input(name, dataTypes.float32, shape));
  }

  output(name: string, value: Value, shape: readonly (number | string)[]): void {
    const plain = this.precision === 'fp32';
    const attributes = plain ? {} : { to: dataTypes.float32 };
    this.nodes.push(encodedNode(plain ? 'Identity' : 'Cast', [value], [name], attributes));
    this.outputs.push({ name, dataType: dataTypes.float32, shape: [...shape] });
  }

  /** float32 as what the graph computes in. */
  toComputed(value: Value): Value {
    return this.precision === 'fp32' ? value : this.node('Cast', [value], { to: this.computes });
  }

  /** A node with one output. @param inputs '' for one that is left out */
  node(opType: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}): Value {
    const output = `${this.prefix}v${this.names++}`;
    this.nodes.push(encodedNode(opType, inputs, [output], attributes));
    return output;
  }

  /** Pieces of an input, before all nodes: which there are is known when those that take them are written. */
  splitFirst(input: Value, sizes: readonly number[], pieces: readonly Value[], axis: number): void {
    this.nodes.unshift(encodedNode('Split', [input, this.integers(sizes)], pieces, { axis }));
  }

  /** Constants as what the graph computes in. */
  numbers(values: readonly number[], dims: readonly number[] = [values.length]): Value {
    if (this.precision === 'fp32') return this.floats(values, dims);
    return this.constant(this.computes, toHalf(values), dims);
  }

  /** Constants in float32, whatever the graph computes in. */
  floats(values: readonly number[], dims: readonly number[] = [values.length]): Value {
    return this.constant(dataTypes.float32, new Float32Array(values), dims);
  }

  integers(values: readonly number[], dims: readonly number[] = [values.length]): Value {
    return this.constant(dataTypes.int64, new BigInt64Array(values.map(BigInt)), dims);
  }

  private constant(
    dataType: number,
    values: Float32Array | BigInt64Array | Uint16Array,
    dims: readonly number[],
  ): Value {
    const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const key = `${dataType} ${dims} ${Buffer.from(raw).toString('latin1')}`;
    const name = this.known.get(key) ?? `${this.prefix}c${this.known.size}`;
    if (!this.known.has(key)) {
      this.known.set(key, name);
      this.constants.push(bytesField(5, encodeMessage([...tensorHead(name, dataType, dims), bytesField(9, raw)])));
    }
    return name;
  }

  /**
   * A tensor of the user's file. onnxruntime folds the cast, where one is needed, when it loads the graph.
   * @param precision that it is wanted in
   */
  weight(name: string, place: TensorPlace, precision = this.precision): Value {
    this.weights.set(name, place);
    const to = computed[precision];
    if (weightTypes[place.dtype] === to) return name;
    const cast = `${name}:${precision}`;
    if (!this.known.has(cast)) {
      this.known.set(cast, cast);
      this.nodes.push(encodedNode('Cast', [name], [cast], { to }));
    }
    return cast;
  }

  /** @param halvings how often the graph halves its picture's sides */
  finish(halvings: number): WrittenGraph {
    const { files } = this;
    const folder = commonFolder(files);
    const bytes = this.encoded(below(folder));
    const byName = (values: readonly ValueInfo[]) => new Map(values.map((value) => [value.name, value]));
    const facts = {
      inputs: byName(this.inputs),
      outputs: byName(this.outputs),
      halfBytes: 0, // written as what they are computed in
      weightTypes: new Set([...this.weights.values()].map(({ dtype }) => weightTypes[dtype]!)),
      computes: new Set([this.computes]),
      cudaOnly: [],
      draws: false,
      halvings,
      files,
    };
    const elements = [...this.weights.values()].reduce((sum, { length, dtype }) => sum + length / dtypeBytes[dtype], 0);
    return {
      folder,
      facts,
      bytes,
      weightBytes: bytesPerNumber[this.precision] * elements,
      gathered: (location) => this.gathered(location),
    };
  }

  /** What its weights lie in. */
  get files(): string[] {
    return [...new Set([...this.weights.values()].map(({ file }) => file))];
  }

  /** Its nodes and what they take, as fields of another graph. @param folder that holds the files of its weights */
  fragment(folder: string): { readonly nodes: readonly Field[]; readonly initializers: readonly Field[] } {
    return { nodes: this.nodes, initializers: [...this.constants, ...this.initializers(below(folder))] };
  }

  private gathered(location: string): GatheredGraph {
    const weights: { from: TensorPlace; at: number }[] = [];
    let end = 0;
    const bytes = this.encoded((from) => {
      const at = Math.ceil(end / alignment) * alignment;
      weights.push({ from, at });
      end = at + from.length;
      return [location, at];
    });
    return { bytes, weights, weightBytes: end };
  }

  private initializers(locate: Locate): Field[] {
    return [...this.weights].map(([name, tensor]) => {
      const [location, offset] = locate(tensor);
      const place = externalData({ location, offset: String(offset), length: String(tensor.length) });
      return bytesField(5, encodeMessage([...tensorHead(name, weightTypes[tensor.dtype]!, tensor.shape), ...place]));
    });
  }

  private encoded(locate: Locate): Uint8Array {
    const graph = [
      ...this.nodes,
      bytesField(2, 'img2img'),
      ...this.constants,
      ...this.initializers(locate),
      ...this.inputs.map((each) => bytesField(11, encodeValueInfo(each))),
      ...this.outputs.map((each) => bytesField(12, encodeValueInfo(each))),
    ];
    const imports = [[varintField(2, opset)], [bytesField(1, 'com.microsoft'), varintField(2, 1)]];
    return encodeMessage([
      varintField(1, irVersion),
      bytesField(2, 'img2img'),
      bytesField(7, encodeMessage(graph)),
      ...imports.map((each) => bytesField(8, encodeMessage(each))),
    ]);
  }
}

/** Where a weight is found: a file, and the offset in it. */
type Locate = (place: TensorPlace) => readonly [location: string, offset: number];

const below =
  (folder: string): Locate =>
  ({ file, offset }) => [relative(folder, file).split(sep).join('/'), offset];

/** TensorProto: dims, data_type, name. */
const tensorHead = (name: string, dataType: number, dims: readonly number[]): Field[] => [
  ...dims.map((dim) => varintField(1, dim)),
  varintField(2, dataType),
  bytesField(8, name),
];

function encodedNode(
  opType: string,
  inputs: readonly Value[],
  outputs: readonly Value[],
  attributes: Readonly<Record<string, Attribute>>,
): Field {
  const domain = contributed.includes(opType) ? 'com.microsoft' : '';
  const rest = attributeFields(attributes);
  return bytesField(1, encodeNode({ opType, domain, inputs: [...inputs], outputs: [...outputs], rest }));
}

/** Shards may lie behind links, each in a folder of its own. */
export function commonFolder(files: readonly string[]): string {
  const [first = [], ...others] = files.map((file) => dirname(file).split(sep));
  const length = others.reduce((least, parts) => {
    const different = first.findIndex((part, i) => part !== parts[i]);
    return different === -1 ? least : Math.min(least, different);
  }, first.length);
  return first.slice(0, length).join(sep) || sep;
}
