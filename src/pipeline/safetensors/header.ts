// The header of a safetensors file: which tensors it holds, and where. It comes from strangers, so everything that it says is
// checked against the file before anything else believes it. No tensor data is read here.
// Source: the format's description in huggingface/safetensors, and its limit of 100 MB for a header.

import { closeSync, openSync, realpathSync } from 'node:fs';
import { isObject } from '../../is-object.js';
import { read, wholeFile } from '../onnx/wire.js';

/** Bytes of one element; what is not here is not known. */
export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;
export type Dtype = keyof typeof dtypeBytes;

/** Where a tensor's elements lie, row by row, little-endian. */
export interface TensorPlace {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** The file itself: links are followed. */
  readonly file: string;
  /** From the file's start, bytes. */
  readonly offset: number;
  readonly length: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorPlace>;
  /** `__metadata__`: what the writer of the file says about it. */
  readonly metadata: ReadonlyMap<string, string>;
}

const lengthBytes = 8;
const largestHeader = 100_000_000;
const metadataKey = '__metadata__';

/**
 * @param largest bytes that the header may take; refused before they are allocated
 * @throws RangeError, whose message says what is wrong with the file
 */
export function readHeader(path: string, largest = largestHeader): SafetensorsHeader {
  const file = realpathSync(path);
  const descriptor = openSync(file, 'r');
  try {
    const whole = wholeFile(descriptor);
    const size = whole.end;
    if (size < lengthBytes)
      throw new RangeError(`the file has ${size} bytes, which is too short for a safetensors file`);
    const bytes = (start: number, end: number) => Buffer.from(read(whole, start, end));
    const length = bytes(0, lengthBytes).readBigUInt64LE();
    if (length > BigInt(largest))
      throw new RangeError(`its header says that it takes ${length} bytes; at most ${largest} are read`);
    const start = lengthBytes + Number(length);
    if (start > size) throw new RangeError(`its header says that it takes ${length} bytes, and the file has ${size}`);
    const entries = parse(bytes(lengthBytes, start));
    const tensors = new Map<string, TensorPlace>();
    for (const [name, entry] of entries) {
      if (name !== metadataKey) tensors.set(name, placeOf(name, entry, file, start, size));
    }
    checkCover([...tensors], start, size);
    return { tensors, metadata: metadataOf(entries.find(([name]) => name === metadataKey)?.[1]) };
  } finally {
    closeSync(descriptor);
  }
}

type Entry = Readonly<Record<string, unknown>>;

function parse(bytes: Buffer): [name: string, entry: Entry][] {
  let parsed: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    parsed = JSON.parse(text);
  } catch {
    throw new RangeError('its header is not JSON');
  }
  if (text[0] !== '{' || !isObject(parsed)) throw new RangeError('its header is not a JSON object');
  const entries = Object.entries(parsed);
  const wrong = entries.find(([, entry]) => !isObject(entry));
  if (wrong) throw new RangeError(`its header has ${told(wrong[0])} that is not an object`);
  // JSON.parse keeps the last of equal keys in silence: then the text has more colons than the result has keys.
  const keys = entries.reduce((sum, [, entry]) => sum + Object.keys(entry as Entry).length, entries.length);
  if (colonsOf(bytes) !== keys) throw new RangeError('its header names something twice, or holds objects in objects');
  return entries as [string, Entry][];
}

/** Outside of strings. */
function colonsOf(json: Uint8Array): number {
  let count = 0;
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const byte = json[i];
    if (byte === 0x22) inString = !inString;
    else if (inString && byte === 0x5c) i++;
    else if (!inString && byte === 0x3a) count++;
  }
  return count;
}

function placeOf(name: string, entry: Entry, file: string, start: number, size: number): TensorPlace {
  const fail = (what: string): never => {
    throw new RangeError(`its tensor ${told(name)} ${what}`);
  };
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypeBytes, dtype)) {
    return fail(`has the dtype ${told(dtype)}, which is not known (known: ${Object.keys(dtypeBytes).join(', ')})`);
  }
  if (!Array.isArray(shape) || shape.length > 8 || !shape.every(isCount)) {
    return fail(`has the shape ${told(shape)}; it must be a list of at most 8 lengths`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    return fail(`has the data_offsets ${told(offsets)}; they must be two positions`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || start + end > size) {
    return fail(`lies at ${begin} to ${end} of ${size - start} bytes of data: the file is truncated, or wrong`);
  }
  const bytes = (shape as number[]).reduce((product, side) => product * side, dtypeBytes[dtype as Dtype]);
  if (bytes !== end - begin) return fail(`takes ${end - begin} bytes, and ${dtype} of ${told(shape)} takes ${bytes}`);
  return { dtype: dtype as Dtype, shape, file, offset: start + begin, length: bytes };
}

/** Tensors cover the data without overlap and without gap, as the format demands: no byte is hidden, none is two things. */
function checkCover(tensors: [string, TensorPlace][], start: number, size: number): void {
  tensors.sort(([, a], [, b]) => a.offset - b.offset || a.length - b.length);
  let position = start;
  for (const [name, { offset, length }] of tensors) {
    if (offset < position) throw new RangeError(`its tensor ${told(name)} overlaps the one before it`);
    if (offset > position)
      throw new RangeError(`it has ${offset - position} bytes before ${told(name)} that belong to no tensor`);
    position = offset + length;
  }
  if (position !== size) throw new RangeError(`it has ${size - position} bytes at its end that belong to no tensor`);
}

function metadataOf(entry: Entry | undefined): ReadonlyMap<string, string> {
  const entries = Object.entries(entry ?? {});
  const wrong = entries.find(([, value]) => typeof value !== 'string');
  if (wrong) throw new RangeError(`its metadata has ${told(wrong[0])} that is not a text`);
  return new Map(entries as [string, string][]);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** A part of a stranger's file in a sentence. */
const told = (value: unknown): string => {
  const text = typeof value === 'string' ? value.replace(/[^\x20-\x7e]/g, '?') : (JSON.stringify(value) ?? 'nothing');
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
};
