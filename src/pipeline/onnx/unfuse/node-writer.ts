// Writes the nodes that take a fused one's place, each with names of its own.

import { type Attribute, attributeFields } from '../attributes.js';
import { dataTypes, type GraphNode } from '../graph-file.js';
import { bytesField, encodeMessage, varintField } from '../wire.js';

const prefix = 'img2img_unfused_';

export class NodeWriter {
  readonly nodes: GraphNode[] = [];
  private names = 0;

  /**
   * @param types of values, as in `dataTypes`
   * @param opset of ONNX's operators
   */
  constructor(
    private readonly types: ReadonlyMap<string, number>,
    readonly opset: number,
  ) {}

  /** @throws RangeError when nothing tells it */
  typeOf(value: string): number {
    const type = this.types.get(value);
    if (type === undefined) throw new RangeError(`nothing tells the type of its value ${value}`);
    return type;
  }

  /** A node of ONNX's with one output. */
  node(opType: string, inputs: string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    const [output] = this.into([this.name()], opType, inputs, attributes);
    return output!;
  }

  /** A node whose outputs have names already. @param domain '' for ONNX's own */
  into(
    outputs: string[],
    opType: string,
    inputs: string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): string[] {
    this.nodes.push({ opType, domain, inputs, outputs, rest: attributeFields(attributes) });
    return outputs;
  }

  /** Equal parts along an axis. */
  split(value: string, parts: number, axis: number): string[] {
    const outputs = Array.from({ length: parts }, () => this.name());
    return this.into(outputs, 'Split', [value], { axis, ...(this.opset >= 18 && { num_outputs: parts }) });
  }

  /** As float32, which it may be already. */
  float32(value: string): string {
    return this.typeOf(value) === dataTypes.float32 ? value : this.node('Cast', [value], { to: dataTypes.float32 });
  }

  integers(values: readonly number[]): string {
    return this.constant(dataTypes.int64, new BigInt64Array(values.map(BigInt)), values.length);
  }

  floats(values: readonly number[]): string {
    return this.constant(dataTypes.float32, new Float32Array(values), values.length);
  }

  private constant(dataType: number, { buffer }: Float32Array | BigInt64Array, length: number): string {
    const raw = new Uint8Array(buffer);
    const tensor = encodeMessage([varintField(1, length), varintField(2, dataType), bytesField(9, raw)]);
    return this.node('Constant', [], { value: { tensor } });
  }

  private name(): string {
    return `${prefix}${this.names++}`;
  }
}
