// Builds ONNX graphs node by node, with random weights in a file beside them: models of real dimensions that no
// repository holds. Written as a stream, so that gigabytes of weights take no memory.

import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { dataTypes, externalData } from '../../src/pipeline/onnx/graph-file.js';
import { bytesField, encodeMessage, type Field, varintField } from '../../src/pipeline/onnx/wire.js';

type Attribute = number | readonly number[];
const producer = 'img2img';
const opset = 17;
const irVersion = 8;
const dataFile = 'model.onnx_data';
/** Weights are cut out of one block of noise: only their amount matters here. */
const blockFloats = 1 << 20;

export class GraphBuilder {
  parameters = 0;
  private readonly fields: Field[] = [];
  private readonly data: number;
  private readonly noise = new Float32Array(blockFloats);
  private position = 0;
  private names = 0;

  /** @param path of the model; its weights go into model.onnx_data beside it */
  constructor(private readonly path: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.data = openSync(`${dirname(path)}/${dataFile}`, 'w');
    let state = 1;
    for (let i = 0; i < blockFloats; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes' LCG
      this.noise[i] = state / 2 ** 31 - 1;
    }
  }

  /** A node with one output. @returns its name */
  node(opType: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    const output = `v${this.names++}`;
    const encoded = [
      ...inputs.map((name) => bytesField(1, name)),
      bytesField(2, output),
      bytesField(4, opType),
      ...Object.entries(attributes).map(([name, value]) => bytesField(5, attribute(name, value))),
    ];
    this.fields.push(bytesField(1, encodeMessage(encoded)));
    return output;
  }

  /** Random float32 weights in -scale..scale. @returns their name */
  weight(dims: readonly number[], scale: number): string {
    const count = dims.reduce((a, b) => a * b, 1);
    // Each weight begins elsewhere in the block: onnxruntime keeps equal weights once, which a real model does not have.
    const begin = (this.names * 7919) % blockFloats;
    const scaled = Float32Array.from({ length: Math.min(count, blockFloats) }, (_, i) => {
      return scale * this.noise[(begin + i) % blockFloats]!;
    });
    for (let done = 0; done < count; done += blockFloats) {
      const bytes = 4 * Math.min(blockFloats, count - done);
      writeSync(this.data, new Uint8Array(scaled.buffer, 0, bytes));
    }
    const entries = { location: dataFile, offset: String(this.position), length: String(4 * count) };
    this.position += 4 * count;
    this.parameters += count;
    return this.initializer(dims, dataTypes.float32, externalData(entries));
  }

  integers(values: readonly number[]): string {
    return this.initializer([values.length], dataTypes.int64, [raw(BigInt64Array.from(values, BigInt))]);
  }

  floats(values: readonly number[], dims: readonly number[] = [values.length]): string {
    return this.initializer(dims, dataTypes.float32, [raw(Float32Array.from(values))]);
  }

  input(name: string, shape: readonly (number | string)[], dataType: number = dataTypes.float32): string {
    this.fields.push(bytesField(11, valueInfo(name, dataType, shape)));
    return name;
  }

  /** Writes the graph, whose output is this value. */
  finish(value: string, name: string, shape: readonly (number | string)[]): void {
    const identity = [bytesField(1, value), bytesField(2, name), bytesField(4, 'Identity')];
    this.fields.push(bytesField(1, encodeMessage(identity)), bytesField(2, producer));
    this.fields.push(bytesField(12, valueInfo(name, dataTypes.float32, shape)));
    const model = encodeMessage([
      varintField(1, irVersion),
      bytesField(2, producer),
      bytesField(7, encodeMessage(this.fields)),
      bytesField(8, encodeMessage([bytesField(1, ''), varintField(2, opset)])),
    ]);
    writeFileSync(this.path, model);
    closeSync(this.data);
  }

  private initializer(dims: readonly number[], dataType: number, content: readonly Field[]): string {
    const name = `w${this.names++}`;
    const fields = [
      ...dims.map((dim) => varintField(1, dim)),
      varintField(2, dataType),
      bytesField(8, name),
      ...content,
    ];
    this.fields.push(bytesField(5, encodeMessage(fields)));
    return name;
  }
}

const raw = ({ buffer }: Float32Array | BigInt64Array) => bytesField(9, new Uint8Array(buffer as ArrayBuffer));

/** Integers become INT, other numbers FLOAT, lists INTS. */
function attribute(name: string, value: Attribute): Uint8Array {
  const typed = (type: number, fields: readonly Field[]) =>
    encodeMessage([bytesField(1, name), ...fields, varintField(20, type)]);
  if (typeof value !== 'number')
    return typed(
      7,
      value.map((one) => varintField(8, one)),
    );
  if (Number.isInteger(value)) return typed(2, [varintField(3, value)]);
  const float = new Uint8Array(Float32Array.of(value).buffer);
  return typed(1, [{ number: 2, kind: 'fixed32', value: 0n, bytes: float }]);
}

function valueInfo(name: string, dataType: number, shape: readonly (number | string)[]): Uint8Array {
  const dims = shape.map((dim) =>
    bytesField(1, encodeMessage([typeof dim === 'number' ? varintField(1, dim) : bytesField(2, dim)])),
  );
  const tensor = encodeMessage([varintField(1, dataType), bytesField(2, encodeMessage(dims))]);
  return encodeMessage([bytesField(1, name), bytesField(2, encodeMessage([bytesField(1, tensor)]))]);
}
