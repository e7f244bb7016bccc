// Protobuf's wire format, as far as ONNX files need it: fields are found in a file without reading what they hold,
// because a graph's weights can be gigabytes. Source: protobuf.dev, "Encoding".

import { readSync } from 'node:fs';

/** Bytes of a file, or bytes. */
export type Bytes = Uint8Array | FileRange;

export interface FileRange {
  readonly file: number;
  readonly start: number;
  readonly end: number;
}

/** One field of a message; a varint's value is in `value`, that of the other kinds in `bytes`. */
export interface Field {
  readonly number: number;
  readonly kind: 'varint' | 'fixed64' | 'bytes' | 'fixed32';
  readonly value: bigint;
  readonly bytes: Bytes;
}

const kinds: Readonly<Record<number, Field['kind']>> = { 0: 'varint', 1: 'fixed64', 2: 'bytes', 5: 'fixed32' };
const kindNumbers = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const nothing = new Uint8Array();
/** Two varints of ten bytes. */
const headerBytes = 20;

export const lengthOf = (bytes: Bytes): number =>
  bytes instanceof Uint8Array ? bytes.length : bytes.end - bytes.start;

/** @throws RangeError when the file ends before the range does */
export function read(bytes: Bytes, start = 0, end = lengthOf(bytes)): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes.subarray(start, end);
  const buffer = new Uint8Array(end - start);
  for (let done = 0; done < buffer.length; ) {
    const count = readSync(bytes.file, buffer, done, buffer.length - done, bytes.start + start + done);
    if (count === 0) throw new RangeError('the file is truncated');
    done += count;
  }
  return buffer;
}

const slice = (bytes: Bytes, start: number, end: number): Bytes =>
  bytes instanceof Uint8Array
    ? bytes.subarray(start, end)
    : { file: bytes.file, start: bytes.start + start, end: bytes.start + end };

/**
 * The fields of a message, in their order.
 * @throws RangeError when it is not a message, or is cut
 */
export function* fieldsOf(message: Bytes): Generator<Field> {
  const length = lengthOf(message);
  let position = 0;
  while (position < length) {
    const header = read(message, position, Math.min(position + headerBytes, length));
    const tag = varint(header, 0);
    const kind = kinds[Number(tag.value & 7n)];
    if (!kind) throw new RangeError('it is no protobuf message');
    const number = Number(tag.value >> 3n);
    if (kind === 'varint') {
      const { value, next } = varint(header, tag.next);
      yield { number, kind, value, bytes: nothing };
      position += next;
      continue;
    }
    const size = kind === 'bytes' ? varint(header, tag.next) : { value: kind === 'fixed64' ? 8n : 4n, next: tag.next };
    const start = position + size.next;
    position = start + Number(size.value);
    if (position > length) throw new RangeError('the file is truncated');
    yield { number, kind, value: 0n, bytes: slice(message, start, position) };
  }
}

function varint(bytes: Uint8Array, start: number): { value: bigint; next: number } {
  let value = 0n;
  for (let i = start; i < bytes.length && i < start + 10; i++) {
    value |= BigInt(bytes[i]! & 0x7f) << BigInt(7 * (i - start));
    if (bytes[i]! < 0x80) return { value, next: i + 1 };
  }
  throw new RangeError('the file is truncated');
}

export const text = (bytes: Bytes): string => new TextDecoder().decode(read(bytes));

export function varintField(number: number, value: number | bigint): Field {
  return { number, kind: 'varint', value: BigInt(value), bytes: nothing };
}

export function bytesField(number: number, bytes: Bytes | string): Field {
  return {
    number,
    kind: 'bytes',
    value: 0n,
    bytes: typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes,
  };
}

/** A field as the parts that stand in a file, one after another. */
export function encodeField(field: Field): Bytes[] {
  const tag = encodeVarint((BigInt(field.number) << 3n) | BigInt(kindNumbers[field.kind]));
  if (field.kind === 'varint') return [tag, encodeVarint(field.value)];
  if (field.kind !== 'bytes') return [tag, field.bytes];
  return [tag, encodeVarint(BigInt(lengthOf(field.bytes))), field.bytes];
}

/** A small message in memory. */
export function encodeMessage(fields: Iterable<Field>): Uint8Array {
  return Buffer.concat([...fields].flatMap(encodeField).map((part) => read(part)));
}

/** @param value negative numbers take ten bytes, as int64 does */
function encodeVarint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
