// An ONNX file: what its graph takes, gives and computes, read without its weights, and written again when changed.
// Field numbers from onnx.proto3.

import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import {
  type Budget,
  type Bytes,
  bytesField,
  encodeField,
  encodeMessage,
  type Field,
  fieldsOf,
  lengthOf,
  read,
  text,
  varintField,
  varintsOf,
  wholeFile,
} from './wire.js';

const model = { irVersion: 1, graph: 7, opsetImport: 8, functions: 25 } as const;
const graph = { node: 1, initializer: 5, input: 11, output: 12, valueInfo: 13 } as const;
const node = { input: 1, output: 2, name: 3, opType: 4, attribute: 5, domain: 7 } as const;
const tensor = { dims: 1, dataType: 2, name: 8, rawData: 9, externalData: 13, dataLocation: 14 } as const;
const external = 1; // TensorProto.DataLocation
/** Smaller weights are shapes and counts, which onnxruntime wants inside the graph. */
const referredBytes = 1024;

/** TensorProto.DataType */
export const dataTypes = { float32: 1, int32: 6, int64: 7, float16: 10, float64: 11, bfloat16: 16 } as const;

export interface GraphNode {
  inputs: string[];
  outputs: string[];
  opType: string;
  readonly domain: string;
  /** All other fields as they are, attributes among them. */
  rest: Field[];
}

/** An input or output of a graph. */
export interface ValueInfo {
  readonly name: string;
  /** As in `dataTypes`; 0 for what is no tensor. */
  dataType: number;
  /** Numbers are fixed, names are free; absent when the rank is not known. */
  shape: (number | string)[] | undefined;
}

export interface ExternalData {
  readonly location: string;
  /** Bytes of the file that the tensor needs; NaN for what is no number. */
  readonly end: number;
}

export interface Initializer {
  readonly name: string;
  readonly dataType: number;
  readonly dims: readonly number[];
  readonly externalData: ExternalData | undefined;
}

export class GraphFile {
  /** Initializers that say by themselves where they are. */
  private readonly added: Field[] = [];

  private constructor(
    private readonly file: number,
    private readonly modelFields: Field[],
    private readonly otherGraphFields: Field[],
    readonly nodes: GraphNode[],
    readonly inputs: ValueInfo[],
    readonly outputs: ValueInfo[],
  ) {}

  /**
   * The file stays open until `close`.
   * @throws RangeError, whose message says what is wrong with the file
   */
  static open(path: string): GraphFile {
    const file = openSync(path, 'r');
    try {
      const bytes = wholeFile(file);
      const { budget } = bytes;
      const modelFields = [...fieldsOf(bytes)];
      const whole = modelFields.find(({ number }) => number === model.graph);
      if (!whole) throw new RangeError('it holds no graph');
      const fields = [...fieldsOf(whole.bytes)];
      const of = (number: number) => fields.filter((field) => field.number === number);
      return new GraphFile(
        file,
        modelFields.filter((field) => field !== whole),
        fields.filter(({ number }) => number !== graph.node && number !== graph.input && number !== graph.output),
        of(graph.node).map(({ bytes }) => decodeNode(read(bytes), budget)),
        of(graph.input).map(({ bytes }) => decodeValueInfo(read(bytes), budget)),
        of(graph.output).map(({ bytes }) => decodeValueInfo(read(bytes), budget)),
      );
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  close(): void {
    closeSync(this.file);
  }

  /** Version of the file format. */
  get irVersion(): number {
    return Number(this.modelFields.findLast(({ number }) => number === model.irVersion)?.value ?? 0n);
  }

  /** Versions of the sets of operators that the graph is written in, by domain; '' is ONNX's own. */
  get opsets(): ReadonlyMap<string, number> {
    return new Map(
      this.messages(model.opsetImport).map((fields) => [textOf(fields, 1), Number(fieldOf(fields, 2)?.value ?? 0n)]),
    );
  }

  /** Domains of the functions that the file brings along. */
  get functionDomains(): readonly string[] {
    return this.messages(model.functions).map((fields) => textOf(fields, 10));
  }

  private messages(kind: number): Field[][] {
    return this.modelFields.filter(({ number }) => number === kind).map(({ bytes }) => [...fieldsOf(bytes)]);
  }

  *initializers(): Generator<Initializer> {
    for (const { number, bytes } of this.otherGraphFields) if (number === graph.initializer) yield initializer(bytes);
  }

  /** What an exporter called a node; '' for none. */
  nameOf({ rest }: GraphNode): string {
    return textOf(rest, node.name);
  }

  /** Before all nodes that are there. @param nodes and initializers: as fields of a graph */
  add(nodes: readonly Field[], initializers: readonly Field[]): void {
    this.nodes.unshift(...nodes.map(({ bytes }) => decodeNode(read(bytes))));
    this.added.push(...initializers);
  }

  /** Shapes of inner values, which a change of an input's shape would contradict. */
  dropInnerShapes(): void {
    const kept = this.otherGraphFields.filter(({ number }) => number !== graph.valueInfo);
    this.otherGraphFields.splice(0, this.otherGraphFields.length, ...kept);
  }

  /**
   * @param weights name of a copy of this file, in the folder that the new one's external data is looked up in: larger
   * weights become references into it, so that a graph takes megabytes whatever its weights take. Else they are copied.
   * @param locate says where what is named by a path beside this file is found from the new one's folder of weights
   */
  write(path: string, weights?: string, locate = (location: string) => location): void {
    const file = openSync(path, 'w', 0o600);
    try {
      for (const part of this.parts(weights, locate)) copy(part, file);
    } finally {
      closeSync(file);
    }
  }

  /** The same in memory. @throws RangeError for what takes too much of it */
  bytes(weights: string, locate: (location: string) => string): Uint8Array {
    return Buffer.concat(this.parts(weights, locate).map((part) => read(part)));
  }

  /** One after another, they are the file. */
  private parts(weights: string | undefined, locate: (location: string) => string): Bytes[] {
    const own = [
      ...this.nodes.map((each) => bytesField(graph.node, encodeNode(each))),
      ...this.otherGraphFields.map((field) =>
        weights !== undefined && field.number === graph.initializer ? referring(field, weights, locate) : field,
      ),
      ...this.added,
      ...this.inputs.map((each) => bytesField(graph.input, encodeValueInfo(each))),
      ...this.outputs.map((each) => bytesField(graph.output, encodeValueInfo(each))),
    ].flatMap(encodeField);
    const size = own.reduce((sum, part) => sum + lengthOf(part), 0);
    // The graph's own tag and length, without holding it in memory.
    const [tag] = encodeField(bytesField(model.graph, ''));
    return [...this.modelFields.flatMap(encodeField), tag!, encodeField(varintField(0, size))[1]!, ...own];
  }
}

const fieldOf = (fields: readonly Field[], number: number) => fields.find((field) => field.number === number);
const textOf = (fields: readonly Field[], number: number) => text(fieldOf(fields, number)?.bytes ?? new Uint8Array());

function copy(bytes: Bytes, target: number): void {
  if (bytes instanceof Uint8Array) {
    for (let done = 0; done < bytes.length; ) done += writeSync(target, bytes, done);
    return;
  }
  const buffer = new Uint8Array(Math.min(1 << 20, bytes.end - bytes.start));
  for (let position = bytes.start; position < bytes.end; ) {
    const count = readSync(bytes.file, buffer, 0, Math.min(buffer.length, bytes.end - position), position);
    if (count === 0) throw new RangeError('the file is truncated');
    for (let done = 0; done < count; ) done += writeSync(target, buffer, done, count - done);
    position += count;
  }
}

function decodeNode(message: Uint8Array, budget?: Budget): GraphNode {
  const decoded: GraphNode = { inputs: [], outputs: [], opType: '', domain: '', rest: [] };
  let domain = '';
  for (const field of fieldsOf(message, budget)) {
    if (field.number === node.input) decoded.inputs.push(text(field.bytes));
    else if (field.number === node.output) decoded.outputs.push(text(field.bytes));
    else if (field.number === node.opType) decoded.opType = text(field.bytes);
    else if (field.number === node.domain) domain = text(field.bytes);
    else decoded.rest.push(field);
  }
  return { ...decoded, domain };
}

export function encodeNode({ inputs, outputs, opType, domain, rest }: GraphNode): Uint8Array {
  return encodeMessage([
    ...inputs.map((name) => bytesField(node.input, name)),
    ...outputs.map((name) => bytesField(node.output, name)),
    bytesField(node.opType, opType),
    ...(domain === '' ? [] : [bytesField(node.domain, domain)]),
    ...rest,
  ]);
}

/** ValueInfoProto { 1 name, 2 TypeProto { 1 Tensor { 1 elem_type, 2 TensorShapeProto { 1 dim { 1 dim_value, 2 dim_param } } } } } */
function decodeValueInfo(message: Uint8Array, budget: Budget): ValueInfo {
  const one = (bytes: Bytes | undefined, number: number): Field | undefined =>
    bytes && [...fieldsOf(bytes, budget)].find((field) => field.number === number);
  const type = one(one(message, 2)?.bytes, 1)?.bytes;
  const shape = one(type, 2)?.bytes;
  return {
    name: text(one(message, 1)?.bytes ?? new Uint8Array()),
    dataType: Number(one(type, 1)?.value ?? 0n),
    shape:
      shape &&
      [...fieldsOf(shape, budget)].map(({ bytes }) => {
        const dim = [...fieldsOf(bytes, budget)][0];
        if (!dim) return '';
        return dim.kind === 'varint' ? Number(dim.value) : text(dim.bytes);
      }),
  };
}

export function encodeValueInfo({ name, dataType, shape }: ValueInfo): Uint8Array {
  const dims = shape?.map((dim) =>
    bytesField(
      1,
      encodeMessage(dim === '' ? [] : [typeof dim === 'number' ? varintField(1, dim) : bytesField(2, dim)]),
    ),
  );
  const tensorType = [varintField(1, dataType), ...(dims ? [bytesField(2, encodeMessage(dims))] : [])];
  const type = encodeMessage([bytesField(1, encodeMessage(tensorType))]);
  return encodeMessage([bytesField(1, name), bytesField(2, type)]);
}

/** A weight as a reference into the file that it lies in. */
function referring(field: Field, weights: string, locate: (location: string) => string): Field {
  const fields = [...fieldsOf(field.bytes)];
  if (fields.some(({ number }) => number === tensor.externalData)) {
    return bytesField(graph.initializer, encodeMessage(fields.map((each) => relocated(each, locate))));
  }
  const raw = fields.find(({ number }) => number === tensor.rawData)?.bytes;
  if (!raw || raw instanceof Uint8Array || lengthOf(raw) <= referredBytes) return field;
  const kept = fields.filter(({ number }) => number !== tensor.rawData && number !== tensor.dataLocation);
  const entries = { location: locate(weights), offset: String(raw.start), length: String(lengthOf(raw)) };
  return bytesField(graph.initializer, encodeMessage([...kept, ...externalData(entries)]));
}

function relocated(field: Field, locate: (location: string) => string): Field {
  if (field.number !== tensor.externalData) return field;
  const [key, value] = [...fieldsOf(read(field.bytes))];
  if (!key || !value || text(key.bytes) !== 'location') return field;
  return bytesField(tensor.externalData, encodeMessage([key, bytesField(2, locate(text(value.bytes)))]));
}

/** StringStringEntryProto { 1 key, 2 value }, one for each. */
export function externalData(entries: Readonly<Record<string, string>>): Field[] {
  const fields = Object.entries(entries).map(([key, value]) =>
    bytesField(tensor.externalData, encodeMessage([bytesField(1, key), bytesField(2, value)])),
  );
  return [...fields, varintField(tensor.dataLocation, external)];
}

/** Bytes of one number, by data type; whatever is not here takes at least one. */
const widths: Readonly<Record<number, number>> = { 1: 4, 4: 2, 5: 2, 6: 4, 7: 8, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2 };

function initializer(message: Bytes): Initializer {
  let name = '';
  let dataType = 0;
  const dims: number[] = [];
  const entries = new Map<string, string>();
  for (const field of fieldsOf(message)) {
    if (field.number === tensor.name) name = text(field.bytes);
    if (field.number === tensor.dataType) dataType = Number(field.value);
    if (field.number === tensor.dims) for (const dim of varintsOf(field)) dims.push(Number(dim));
    if (field.number === tensor.externalData) {
      const [key, value] = [...fieldsOf(read(field.bytes))].map(({ bytes }) => text(bytes));
      if (key !== undefined) entries.set(key, value ?? '');
    }
  }
  const location = entries.get('location');
  if (location === undefined) return { name, dims, dataType, externalData: undefined };
  const length = entries.get('length') ?? dims.reduce((a, b) => a * b, 1) * (widths[dataType] ?? 0);
  const end = wholeNumber(entries.get('offset') ?? 0) + wholeNumber(length);
  return { name, dims, dataType, externalData: { location, end } };
}

/** Bytes of one number. @param dataType as in `dataTypes` */
export const widthOf = (dataType: number): number => widths[dataType] ?? 1;

const wholeNumber = (value: string | number) => (/^\d{1,15}$/.test(String(value)) ? Number(value) : Number.NaN);
