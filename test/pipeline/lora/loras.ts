// LoRA files for tests, as test/reference/loras.py made them.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type Case, reference } from '../cases.js';
import { type CheckpointFamily, encoded, values, type WeightType } from '../checkpoints.js';
import { writeSafetensors } from '../safetensors/write.js';

export interface LoraCase extends Case {
  readonly family: CheckpointFamily;
  readonly loras: readonly [name: string, scale: number][];
}

/** What lycoris-lora makes of factors, without any scale. */
export interface Product {
  readonly kind: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly delta: readonly number[];
  readonly shape: readonly number[];
}

interface LoraEntry {
  readonly family: CheckpointFamily;
  readonly dtype: WeightType;
  /** Shape, or the number of an alpha. */
  readonly tensors: Readonly<Record<string, readonly number[] | number>>;
}

interface Told {
  readonly files: Readonly<Record<string, LoraEntry>>;
  readonly cases: readonly LoraCase[];
  readonly products: readonly Product[];
}

const read = (file: string): unknown => JSON.parse(gunzipSync(readFileSync(reference(file))).toString());
const plain = read('loras.json.gz') as Told;
const lycoris = read('lycoris.json.gz') as Told & {
  /** Keys that lycoris-lora and peft write, with their shapes, of files that are refused. */
  readonly refused: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
};
export const loraCases = [...plain.cases, ...lycoris.cases];
export const products = [...plain.products, ...lycoris.products];
export const loraEntries = { ...plain.files, ...lycoris.files };
export const { refused: refusedFiles } = lycoris;

/** @param alter keys and what they are */
export function writeLora(
  path: string,
  name: string,
  metadata?: Readonly<Record<string, string>>,
  alter = (tensors: LoraEntry['tensors']) => tensors,
): string {
  const { dtype, tensors } = loraEntries[name]!;
  const written = Object.entries(alter(tensors)).map(([key, entry]) => {
    const scalar = typeof entry === 'number';
    const numbers = scalar ? Float32Array.of(entry) : values(key, entry);
    return [key, { shape: scalar ? [] : entry, ...encoded(numbers, dtype) }] as const;
  });
  writeSafetensors(path, Object.fromEntries(written), metadata);
  return path;
}
