// The safetensors files of a part of a diffusers folder: one file, or shards with an index; of several variants the first in order.

import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Json, readJson } from '../folder/configs.js';
import { checkFile } from '../folder/files.js';
import { ModelFolderError, shown } from '../folder/model-folder-error.js';
import { readHeader, type TensorPlace } from './header.js';

/** diffusers' and transformers' names, with the variant between: `fp16`, `non_ema`. */
const singleName = /^(?:diffusion_pytorch_model|model|pytorch_model)(?:\.(\w+))?\.safetensors$/;
const indexName = /^(?:diffusion_pytorch_model|model|pytorch_model)(?:\.(\w+))?\.safetensors\.index(?:\.(\w+))?\.json$/;
const shardName = /^[\w.-]+\.safetensors$/;
/** What torch saves by itself. */
export const pickle = /\.(?:bin|ckpt|pt|pth)$/;
/** Bytes. */
export const largestIndex = 16 * 2 ** 20;

export const pickleRefusal =
  'is a pickle, which can run programs when it is read, so it is not: save the model as .safetensors (diffusers: save_pretrained with safe_serialization)';

export interface WeightsFile {
  readonly name: string;
  /** '' for full precision. */
  readonly variant: string;
}

/** Those of these files that hold a part's whole weights: full precision before `fp16` before other variants. */
export function weightsFiles(names: readonly string[]): WeightsFile[] {
  const files = [...names].sort().flatMap((name) => {
    const match = singleName.exec(name) ?? indexName.exec(name);
    return match ? [{ name, variant: match[1] ?? match[2] ?? '' }] : [];
  });
  const order = ['', 'fp16'];
  const rank = (variant: string) => (order.includes(variant) ? order.indexOf(variant) : order.length);
  return files.sort((a, b) => rank(a.variant) - rank(b.variant));
}

/**
 * The file that holds a part's weights.
 * @param root of the model
 * @param part its folder, such as unet
 * @returns such as unet/model.safetensors; undefined when there is none
 * @throws ModelFolderError when there are pickles only
 */
export function findSafetensors(root: string, part: string): string | undefined {
  const names = readdirSync(join(root, part));
  const [first] = weightsFiles(names);
  if (first) return `${part}/${first.name}`;
  const refused = names.sort().find((name) => pickle.test(name));
  if (refused) throw new ModelFolderError(`${part}/${refused} ${pickleRefusal}`);
  return undefined;
}

/**
 * @param root of the model
 * @param file as `findSafetensors` gives it
 * @throws ModelFolderError for what is missing or no regular file
 * @throws RangeError, whose message says what is wrong with the file
 */
export function readSafetensors(root: string, file: string): ReadonlyMap<string, TensorPlace> {
  if (!file.endsWith('.json')) return tensorsOf(root, file);
  const map = weightMap(readJson(root, file, undefined, largestIndex));
  const part = dirname(file);
  const shards = new Map([...new Set(map.values())].map((shard) => [shard, shardOf(root, part, shard)]));
  const tensors = new Map<string, TensorPlace>();
  for (const [tensor, shard] of map) {
    const place = shards.get(shard)!.get(tensor);
    if (!place) throw new RangeError(`its index looks for ${tensor} in ${shard}, where it is not`);
    tensors.set(tensor, place);
  }
  return tensors;
}

function tensorsOf(root: string, file: string): ReadonlyMap<string, TensorPlace> {
  checkFile(root, file);
  return readHeader(join(root, file)).tensors;
}

function shardOf(root: string, part: string, shard: string): ReadonlyMap<string, TensorPlace> {
  try {
    return tensorsOf(root, `${part}/${shard}`);
  } catch (error) {
    if (error instanceof RangeError) throw new RangeError(`${shard}: ${error.message}`);
    throw error;
  }
}

/**
 * Tensor -> shard.
 * @param index what the file of the index says
 * @throws RangeError when that is none, or names files that cannot lie beside it
 */
export function weightMap({ weight_map: map }: Json): ReadonlyMap<string, string> {
  const entries = typeof map === 'object' && map !== null ? Object.entries(map) : [];
  if (entries.length === 0 || entries.some(([, shard]) => typeof shard !== 'string')) {
    throw new RangeError('its index has no weight_map of tensors to files');
  }
  const wrong = entries.find(([, shard]) => !shardName.test(shard as string));
  if (wrong) throw new RangeError(`its index names the file ${shown(wrong[1])}`);
  return new Map(entries as [string, string][]);
}
