// Which models a LoRA is for, as far as its shapes and keys tell.

import type { LoraFamily } from '../../model-facts.js';
import type { ModelFolder } from '../folder/model-folder.js';
import type { LoraFile } from './lora-file.js';

/** Width of the prompt's embeddings that the UNet attends to. */
const byContextWidth: Readonly<Record<number, LoraFamily>> = {
  768: 'sd1',
  1024: 'sd2',
  1280: 'sdxl-refiner',
  2048: 'sdxl',
};

export function familyOfLora({ modules }: Pick<LoraFile, 'modules'>): LoraFamily {
  const keys = modules.find(({ part, name }) => part === 'unet' && /attn2_to_[kv]$/.test(name));
  const down = keys?.factors[0]?.down;
  const known = down && byContextWidth[down.shape[1]!];
  if (known) return known;
  return modules.some(({ part }) => part === 'text_encoder_2') ? 'sdxl' : 'unknown';
}

/** undefined where the graph is not ours to write. */
export function familyForLoras({ graphs, family, kind }: ModelFolder): LoraFamily | undefined {
  if (typeof graphs.unet !== 'object') return undefined;
  if (family.architecture === 'sdxl') return kind === 'sdxl-refiner' ? 'sdxl-refiner' : 'sdxl';
  const keys = [...graphs.unet.tensors].find(([name]) => name.endsWith('.attn2.to_k.weight'))?.[1];
  return keys?.shape[1] === 1024 ? 'sd2' : 'sd1';
}
