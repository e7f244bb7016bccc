// Small Stable Diffusion 3 and 3.5 models, as test/reference/stable_diffusion_3.py made them.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { clipFolder } from '../../src/pipeline/clip-vocabulary.js';
import { type Case, reference } from './cases.js';
import { encoded, values, type WeightType, weightsName } from './checkpoints.js';
import { type WrittenTensor, writeSafetensors } from './safetensors/write.js';

export const sd3Families = ['sd3', 'sd3-without-t5', 'sd35-large', 'sd35-medium'] as const;
export type Sd3Family = (typeof sd3Families)[number];

interface Sd3Case extends Case {
  readonly family: Sd3Family;
}

interface Golden {
  readonly tokenizer: object;
  /** Each with its ids, without the end token. */
  readonly texts: readonly (readonly [text: string, ids: readonly number[]])[];
  /** The same with end token and padding. */
  readonly framed: Readonly<Record<string, readonly number[]>>;
  /** Of the distances -511 to 511. */
  readonly buckets: readonly { readonly buckets: number; readonly distance: number; readonly of: readonly number[] }[];
  /** optimum's export of the transformer of sd3, in base64. */
  readonly transformer: string;
  readonly families: Readonly<
    Record<
      Sd3Family,
      {
        readonly files: Readonly<Record<string, object>>;
        readonly tensors: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
      }
    >
  >;
  readonly cases: readonly Sd3Case[];
}

export const golden: Golden = JSON.parse(gunzipSync(readFileSync(reference('stable_diffusion_3.json.gz'))).toString());

export const casesOf = (name: Sd3Family): readonly Sd3Case[] => golden.cases.filter(({ family }) => family === name);

export function json(folder: string, file: string, value: object): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), JSON.stringify(value));
}

/** A folder as diffusers' save_pretrained writes it, transformer and T5 in two files each. */
export function writeSd3Folder(folder: string, family: Sd3Family, type: WeightType = 'float32'): string {
  const { files, tensors } = golden.families[family];
  for (const [file, value] of Object.entries(files)) json(folder, file, value);
  for (const [tokenizer, pad] of [
    ['tokenizer', '<|endoftext|>'],
    ['tokenizer_2', '!'],
  ] as const) {
    json(folder, `${tokenizer}/tokenizer_config.json`, { pad_token: pad, model_max_length: 77 });
    cpSync(join(clipFolder, 'merges.txt'), join(folder, tokenizer, 'merges.txt'));
  }
  if (tensors.text_encoder_3) json(folder, 'tokenizer_3/tokenizer.json', golden.tokenizer);
  for (const [part, shapes] of Object.entries(tensors)) {
    const all = Object.entries(shapes).map(([name, shape]) => [name, tensorOf(name, shape, type)] as const);
    writeWeights(folder, part, all, part === 'transformer' || part === 'text_encoder_3');
  }
  return folder;
}

/** The weights of a part, in one file or two. */
export function writeWeights(
  folder: string,
  part: string,
  tensors: readonly (readonly [string, WrittenTensor])[],
  inShards: boolean,
): void {
  if (inShards) writeShards(join(folder, part), weightsName(part), tensors);
  else writeSafetensors(join(folder, part, weightsName(part)), Object.fromEntries(tensors), { format: 'pt' });
}

const made = new Map<string, WrittenTensor>();

/** Each is computed once. */
export function tensorOf(name: string, shape: readonly number[], type: WeightType, gain = 1): WrittenTensor {
  const key = `${name} ${shape} ${type} ${gain}`;
  const tensor = made.get(key) ?? { shape, ...encoded(values(name, shape, gain), type) };
  made.set(key, tensor);
  return tensor;
}

function writeShards(folder: string, name: string, tensors: readonly (readonly [string, WrittenTensor])[]): void {
  const half = Math.ceil(tensors.length / 2);
  const shards = [tensors.slice(0, half), tensors.slice(half)];
  const nameOf = (i: number) => name.replace('.safetensors', `-0000${i + 1}-of-00002.safetensors`);
  for (const [i, shard] of shards.entries()) {
    writeSafetensors(join(folder, nameOf(i)), Object.fromEntries(shard), { format: 'pt' });
  }
  const map = shards.flatMap((shard, i) => shard.map(([tensor]) => [tensor, nameOf(i)]));
  json(folder, `${name}.index.json`, { metadata: {}, weight_map: Object.fromEntries(map) });
}
