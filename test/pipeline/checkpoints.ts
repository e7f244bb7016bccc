// Small checkpoints for tests, as test/reference/checkpoints.py made them: in diffusers' layout and as single files, of any dtype.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { clipFolder } from '../../src/pipeline/clip-vocabulary.js';
import { toHalf } from '../../src/pipeline/numbers/half.js';
import { type Case, reference, requestOf } from './cases.js';
import { type WrittenTensor, writeSafetensors } from './safetensors/write.js';

export const familyNames = [
  'sd',
  'sd-v',
  'sdxl',
  'sdxl-refiner',
  'sd-inpaint',
  'lcm',
  'sd-taesd',
  'instruct-pix2pix',
] as const;
export type CheckpointFamily = (typeof familyNames)[number];
export const singleFileFamilies = ['sd', 'sd-v', 'sdxl', 'sdxl-refiner', 'sd-inpaint', 'instruct-pix2pix'] as const;
export type WeightType = 'float32' | 'float16' | 'bfloat16';

interface FamilyFiles {
  readonly files: Readonly<Record<string, object>>;
  readonly padding: Readonly<Record<string, string>>;
  /** Part -> tensor, by diffusers' name -> shape. */
  readonly tensors: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
  /** Of the single file: name, shape, and the part and tensors that it is made of, if any. */
  readonly original?: readonly [
    name: string,
    shape: readonly number[],
    part: string | null,
    sources: readonly string[],
  ][];
}

export interface CheckpointCase extends Case {
  readonly family: CheckpointFamily;
  readonly dtype: WeightType;
  /** left, top, right, bottom of what is repainted */
  readonly box?: readonly [number, number, number, number];
}

const { families, cases: allCases } = JSON.parse(
  gunzipSync(readFileSync(reference('checkpoints.json.gz'))).toString(),
) as { families: Record<CheckpointFamily, FamilyFiles>; cases: CheckpointCase[] };
export const checkpointCases: readonly CheckpointCase[] = allCases;

/** 255 inside of the case's box. */
function maskOf({ box, width, height }: CheckpointCase): Uint8Array | undefined {
  if (!box) return undefined;
  const [left, top, right, bottom] = box;
  const mask = new Uint8Array(width * height);
  for (let y = top; y < bottom; y++) mask.fill(255, y * width + left, y * width + right);
  return mask;
}

export const maskedRequest = (c: CheckpointCase) => ({ ...requestOf(c), mask: maskOf(c) });

/**
 * How far the samples are from diffusers'; the case holds every second pixel both ways. Outside of a mask the answer is the
 * starter's, and not compared.
 */
export function differences(data: Uint8Array, c: CheckpointCase): number[] {
  const { width, height, pixels } = c;
  const expected = Buffer.from(pixels, 'base64');
  if (expected.length !== (3 * width * height) / 4) throw new Error(`${expected.length} samples`);
  const mask = maskOf(c);
  return [...expected].flatMap((sample, i) => {
    const pixel = Math.floor(i / 3);
    const place = 2 * Math.floor(pixel / (width / 2)) * width + 2 * (pixel % (width / 2));
    return mask?.[place] === 0 ? [] : [Math.abs(data[3 * place + (i % 3)]! - sample)];
  });
}

/** Numbers that follow from the name, as in small_models.py. */
export function values(name: string, shape: readonly number[], gain = 1): Float32Array {
  let seed = 2166136261;
  for (const byte of Buffer.from(name)) seed = Math.imul(seed ^ byte, 16777619) >>> 0;
  const [scale, offset] = spread(name, shape);
  const numbers = new Float32Array(shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < numbers.length; i++) {
    let h = (Math.imul(i, 0x9e3779b1) + seed) >>> 0;
    h ^= h >>> 16;
    h = Math.imul(h, 0x85ebca6b);
    h ^= h >>> 13;
    h = Math.imul(h, 0xc2b2ae35);
    h ^= h >>> 16;
    numbers[i] = ((h >>> 0) / 2 ** 31 - 1) * (scale * gain) + offset;
  }
  return numbers;
}

const gains: Readonly<Record<string, number>> = {
  'conv_out.weight': 2,
  'decoder.conv_out.weight': 0.5,
  'decoder.layers.15.weight': 0.03,
  'pos_embed.pos_embed': 20,
};

function spread(name: string, shape: readonly number[]): [scale: number, offset: number] {
  if (name.endsWith('bias')) return [0.1, name === 'decoder.layers.15.bias' ? 0.5 : 0];
  if (shape.length === 1) return [0.2, 1];
  if (name.includes('embedding.weight')) return [1, 0];
  const inputs = shape.slice(1).reduce((a, b) => a * b, 1);
  return [Math.sqrt(3 / inputs) * (gains[name] ?? (name.endsWith('conv.4.weight') ? 0.3 : 1)), 0];
}

export function encoded(numbers: Float32Array, type: WeightType): Pick<WrittenTensor, 'dtype' | 'data'> {
  if (type === 'float32') return { dtype: 'F32', data: new Uint8Array(numbers.buffer) };
  if (type === 'float16') return { dtype: 'F16', data: new Uint8Array(toHalf(numbers).buffer) };
  const bits = new Uint32Array(numbers.buffer);
  const rounded = Uint16Array.from(bits, (x) => (x + 0x7fff + ((x >>> 16) & 1)) >>> 16); // to nearest, ties to even
  return { dtype: 'BF16', data: new Uint8Array(rounded.buffer) };
}

export function tensorsOf(family: CheckpointFamily, part: string, type: WeightType): Record<string, WrittenTensor> {
  return Object.fromEntries(
    Object.entries(families[family].tensors[part]!).map(([name, shape]) => [
      name,
      { shape, ...encoded(values(name, shape), type) },
    ]),
  );
}

/** Of its folder, by file. */
export const configsOf = (family: CheckpointFamily): Readonly<Record<string, object>> => families[family].files;

export const weightsName = (part: string) =>
  part.startsWith('text_encoder') ? 'model.safetensors' : 'diffusion_pytorch_model.safetensors';

/** A folder as diffusers' save_pretrained writes it. */
export function writeCheckpointFolder(folder: string, family: CheckpointFamily, type: WeightType = 'float32'): string {
  const { files, padding, tensors } = families[family];
  const json = (file: string, value: object) => {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), JSON.stringify(value));
  };
  for (const [file, value] of Object.entries(files)) json(file, value);
  for (const [tokenizer, pad] of Object.entries(padding)) {
    json(`${tokenizer}/tokenizer_config.json`, { pad_token: pad, model_max_length: 77 });
    cpSync(join(clipFolder, 'merges.txt'), join(folder, tokenizer, 'merges.txt'));
  }
  for (const part of Object.keys(tensors)) {
    writeSafetensors(join(folder, part, weightsName(part)), tensorsOf(family, part, type), { format: 'pt' });
  }
  return folder;
}

/** The same weights in the original layout. */
export function writeSingleFile(
  path: string,
  family: CheckpointFamily,
  type: WeightType = 'float32',
  metadata?: Readonly<Record<string, string>>,
): string {
  const { original, tensors } = families[family];
  const written = original!.map(([name, shape, part, sources]): [string, WrittenTensor] => {
    if (part === null) return [name, { shape, ...encoded(values(name, shape), type) }];
    const parts = sources.map((source) => {
      const own = tensors[part]![source]!;
      const numbers = values(source, own);
      return name.endsWith('text_projection') ? transposed(numbers, own[1]!) : numbers;
    });
    const bytes = parts.map((numbers) => encoded(numbers, type));
    return [name, { shape, dtype: bytes[0]!.dtype, data: Buffer.concat(bytes.map(({ data }) => data)) }];
  });
  writeSafetensors(path, Object.fromEntries(written), metadata);
  return path;
}

function transposed(matrix: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns;
  return Float32Array.from({ length: matrix.length }, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}
