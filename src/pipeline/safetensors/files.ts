// The safetensors files of a part of a diffusers folder: one file, or shards with an index; of several variants the first in order.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { readHeader, type TensorPlace } from './header.js';

/** diffusers' and transformers' names, with the variant between: `fp16`, `non_ema`. */
const singleName = /^(?:diffusion_pytorch_model|model|pytorch_model)(?:\.(\w+))?\.safetensors$/;
const indexName = /^(?:diffusion_pytorch_model|model|pytorch_model)(?:\.(\w+))?\.safetensors\.index(?:\.(\w+))?\.json$/;
const shardName = /^[\w.-]+\.safetensors$/;
/** What torch saves by itself. */
export const pickle = /\.(?:bin|ckpt|pt|pth)$/;
const largestIndex = 16 * 2 ** 20;

export const pickleRefusal =
  'is a pickle, which can run programs when it is read, so it is not: save the model as .safetensors (diffusers: save_pretrained with safe_serialization)';

/**
 * The file that holds a part's weights: full precision before `fp16` before other variants.
 * @param folder of the part, such as unet/
 * @returns undefined when there is none
 * @throws ModelFolderError when there are pickles only
 */
export function findSafetensors(folder: string): string | undefined {
  const names = readdirSync(folder).sort();
  const candidates = names.flatMap((name) => {
    const match = singleName.exec(name) ?? indexName.exec(name);
    return match ? [{ name, variant: match[1] ?? match[2] ?? '' }] : [];
  });
  const order = ['', 'fp16'];
  const rank = (variant: string) => (order.includes(variant) ? order.indexOf(variant) : order.length);
  candidates.sort((a, b) => rank(a.variant) - rank(b.variant));
  if (candidates[0]) return candidates[0].name;
  const refused = names.find((name) => pickle.test(name));
  if (refused) throw new ModelFolderError(`${refused} ${pickleRefusal}`);
  return undefined;
}

/**
 * @param name as `findSafetensors` gives it
 * @throws RangeError, whose message says what is wrong
 */
export function readSafetensors(folder: string, name: string): ReadonlyMap<string, TensorPlace> {
  if (!name.endsWith('.json')) return readHeader(join(folder, name)).tensors;
  const map = weightMap(join(folder, name));
  const shards = new Map(
    [...new Set(map.values())].map((shard) => {
      if (!shardName.test(shard)) throw new RangeError(`its index names the file ${JSON.stringify(shard)}`);
      try {
        return [shard, readHeader(join(folder, shard)).tensors];
      } catch (error) {
        if (error instanceof RangeError) throw new RangeError(`${shard}: ${error.message}`);
        throw new RangeError(`its shard ${shard} is missing`);
      }
    }),
  );
  const tensors = new Map<string, TensorPlace>();
  for (const [tensor, shard] of map) {
    const place = shards.get(shard)!.get(tensor);
    if (!place) throw new RangeError(`its index looks for ${tensor} in ${shard}, where it is not`);
    tensors.set(tensor, place);
  }
  return tensors;
}

/** Tensor -> shard. */
function weightMap(path: string): ReadonlyMap<string, string> {
  if (statSync(path).size > largestIndex) throw new RangeError(`its index has more than ${largestIndex} bytes`);
  let map: unknown;
  try {
    map = JSON.parse(readFileSync(path, 'utf8'))?.weight_map;
  } catch {
    throw new RangeError('its index is not JSON');
  }
  const entries = typeof map === 'object' && map !== null ? Object.entries(map) : [];
  if (entries.length === 0 || entries.some(([, shard]) => typeof shard !== 'string')) {
    throw new RangeError('its index has no weight_map of tensors to files');
  }
  return new Map(entries as [string, string][]);
}
