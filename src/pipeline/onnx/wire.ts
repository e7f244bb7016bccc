// Protobuf's wire format, as far as ONNX files need it: fields are found in a file without reading what they hold,
// because a graph's weights can be gigabytes, and never more of them than a graph can have: a file is what a stranger wrote.
// Source: protobuf.dev, "Encoding".

import { fstatSync, readSync } from 'node:fs';

/** Bytes of a file, or bytes. */
export type Bytes = Uint8Array | FileRange;

export interface FileRange {
  readonly file: number;
  readonly start: number;
  readonly end: number;
  readonly budget: Budget;
}

/** What may still be read of one file, whatever it holds. */
export interface Budget {
  fields: number;
  /** Read into memory. */
  bytes: number;
}

/** The largest graphs have some 300,000 fields; their nodes take some megabytes. */
const most: Budget = { fields: 1_000_000, bytes: 256 * 2 ** 20 };

/** A whole file, with a budget of its own. */
export function wholeFile(file: number): FileRange {
  return { file, start: 0, end: fstatSync(file).size, budget: { ...most } };
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
/** Read at a time where headers follow one another closely. */
const windowBytes = 512;
/** protobuf has no larger ones, and no 0. */
const maxFieldNumber = 2 ** 29 - 1;

export const lengthOf = (bytes: Bytes): number =>
  bytes instanceof Uint8Array ? bytes.length : bytes.end - bytes.start;

/** @throws RangeError when the file ends before the range does, or the budget does not reach */
export function read(bytes: Bytes, start = 0, end = lengthOf(bytes)): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes.subarray(start, end);
  bytes.budget.bytes -= end - start;
  if (bytes.budget.bytes < 0) throw new RangeError(`its nodes take more than ${most.bytes} bytes`);
  return readRange(bytes, start, end);
}

function readRange(bytes: FileRange, start: number, end: number): Uint8Array {
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
    : { ...bytes, start: bytes.start + start, end: bytes.start + end };

/**
 * The fields of a message, in their order.
 * @param budget of the file that a message in memory was read from
 * @throws RangeError when it is not a message, is cut, or holds more than any graph
 */
export function* fieldsOf(
  message: Bytes,
  budget = message instanceof Uint8Array ? undefined : message.budget,
): Generator<Field> {
  const length = lengthOf(message);
  const headerAt = headersOf(message);
  let position = 0;
  while (position < length) {
    if (budget && --budget.fields < 0) throw new RangeError(`it has more than ${most.fields} parts, as no graph has`);
    const header = headerAt(position);
    const tag = varint(header, 0);
    if (tag.value === 0n) {
      const place = position + (message instanceof Uint8Array ? 0 : message.start);
      throw new RangeError(`zeros follow byte ${place}, as in a file that was not copied to its end`);
    }
    const kind = kinds[Number(tag.value & 7n)];
    const number = Number(tag.value >> 3n);
    if (!kind || number === 0 || number > maxFieldNumber) throw new RangeError('it is no protobuf message');
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

/** Reads what may be a field's header, several with one call where they lie close together. */
function headersOf(message: Bytes): (position: number) => Uint8Array {
  const length = lengthOf(message);
  if (message instanceof Uint8Array) return (position) => message.subarray(position, position + headerBytes);
  let window: Uint8Array = nothing;
  let start = 0;
  return (position) => {
    const end = Math.min(position + headerBytes, length);
    if (position < start || end > start + window.length) {
      window = readRange(message, position, Math.min(position + windowBytes, length));
      start = position;
    }
    return window.subarray(position - start, end - start);
  };
}

function varint(bytes: Uint8Array, start: number): { value: bigint; next: number } {
  let value = 0n;
  for (let i = start; i < bytes.length && i < start + 10; i++) {
    value |= BigInt(bytes[i]! & 0x7f) << BigInt(7 * (i - start));
    if (bytes[i]! < 0x80) return { value, next: i + 1 };
  }
  throw new RangeError('the file is truncated');
}

const decoder = new TextDecoder();
export const text = (bytes: Bytes): string => decoder.decode(read(bytes));

/** A repeated number, packed or not. */
export function* varintsOf({ kind, value, bytes }: Field): Generator<bigint> {
  if (kind === 'varint') yield value;
  if (kind !== 'bytes') return;
  const packed = read(bytes);
  for (let position = 0; position < packed.length; ) {
    const { value, next } = varint(packed, position);
    yield value;
    position = next;
  }
}

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
