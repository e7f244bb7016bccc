// A node's attributes. AttributeProto { 1 name, 2 f, 3 i, 4 s, 5 t, 8 ints, 20 type }.

import type { GraphNode } from './graph-file.js';
import {
  bytesField,
  encodeMessage,
  type Field,
  fieldsOf,
  lengthOf,
  read,
  text,
  varintField,
  varintsOf,
} from './wire.js';

/** `float` marks a number that is one even when it is whole; `tensor` is an encoded TensorProto. */
export type Attribute =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly tensor: Uint8Array };

const attribute = 5;
const types = { float: 1, int: 2, string: 3, tensor: 4, ints: 7 } as const;

/** As fields of a node. */
export function attributeFields(attributes: Readonly<Record<string, Attribute>>): Field[] {
  return Object.entries(attributes).map(([name, value]) => bytesField(attribute, encoded(name, value)));
}

function encoded(name: string, value: Attribute): Uint8Array {
  const of = (type: keyof typeof types, ...fields: Field[]) =>
    encodeMessage([bytesField(1, name), ...fields, varintField(20, types[type])]);
  if (typeof value === 'number') return of('int', varintField(3, value));
  if (typeof value === 'string') return of('string', bytesField(4, value));
  if ('tensor' in value) return of('tensor', bytesField(5, value.tensor));
  if ('float' in value) {
    const bytes = new Uint8Array(new Float32Array([value.float]).buffer);
    return of('float', { number: 2, kind: 'fixed32', value: 0n, bytes });
  }
  return of('ints', ...value.map((one) => varintField(8, one)));
}

export interface AttributeValue {
  readonly int?: number;
  readonly float?: number;
  readonly ints: readonly number[];
  /** An encoded TensorProto. */
  readonly tensor?: Uint8Array;
}

/** By name; undefined for one that the node does not have. */
export function attributeOf({ rest }: GraphNode, wanted: string): AttributeValue | undefined {
  for (const { number, bytes } of rest) {
    if (number !== attribute) continue;
    const fields = [...fieldsOf(read(bytes))];
    const name = fields.find((field) => field.number === 1);
    if (!name || text(name.bytes) !== wanted) continue;
    const of = (each: number) => fields.find((field) => field.number === each);
    const [int, float, tensor] = [of(3), of(2), of(5)];
    return {
      ints: fields.filter((field) => field.number === 8).flatMap((field) => [...varintsOf(field)].map(Number)),
      ...(int && { int: Number(BigInt.asIntN(64, int.value)) }),
      ...(float && lengthOf(float.bytes) === 4 && { float: floatOf(read(float.bytes)) }),
      ...(tensor && { tensor: read(tensor.bytes) }),
    };
  }
  return undefined;
}

const floatOf = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true);
