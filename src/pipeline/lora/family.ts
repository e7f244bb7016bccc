// Which models a LoRA is for, as far as its shapes and keys tell.

import type { LoraFamily } from '../../model-facts.js';
import type { ModelFolder } from '../folder/model-folder.js';
import type { LoraFile } from './lora-file.js';
import { tensorsOf } from './match.js';

/** Width of the prompt's embeddings that the UNet attends to. */
const byContextWidth: Readonly<Record<number, LoraFamily>> = {
  768: 'sd1',
  1024: 'sd2',
  1280: 'sdxl-refiner',
  2048: 'sdxl',
};

/** How blocks of a UNet2DConditionModel begin, in diffusers' words and in the original layout's; what LoRAs change beside them. */
const block = /^(down_blocks|mid_block|up_blocks|input_blocks|middle_block|output_blocks)[._]/;
const besideBlocks = /^(conv_in|conv_out|out_2|time_embed|time_embedding|add_embedding|label_emb)(_|$)/;

export function familyOfLora({ modules }: Pick<LoraFile, 'modules'>): LoraFamily {
  const keys = modules.find(({ part, name }) => part === 'unet' && /attn2_to_[kv]$/.test(name));
  const down = keys?.factors[0]?.down;
  const known = down && byContextWidth[down.shape[1]!];
  if (known) return known;
  const unet = modules.filter(({ part }) => part === 'unet');
  if (unet.length > 0 && !unet.some(({ name }) => block.test(name) || besideBlocks.test(name))) return 'other';
  return modules.some(({ part }) => part === 'text_encoder_2') ? 'sdxl' : 'unknown';
}

/**
 * `other` for an exported UNet whose layers have names of their own; undefined for transformers, and where an exported UNet does not
 * tell which weight belongs to which module.
 */
export function familyForLoras({ graphs, family, kind }: ModelFolder): LoraFamily | undefined {
  if (family.denoiser === 'transformer') return undefined;
  const weights = [...(tensorsOf({ graphs }).unet ?? [])];
  const keys = weights.find(([name]) => name.endsWith('.attn2.to_k.weight'))?.[1];
  if (typeof graphs.unet === 'string' && !keys) {
    return weights.length > 0 && !weights.some(([name]) => block.test(name)) ? 'other' : undefined;
  }
  if (family.architecture === 'sdxl') return kind === 'sdxl-refiner' ? 'sdxl-refiner' : 'sdxl';
  return keys?.shape[1] === 1024 ? 'sd2' : 'sd1';
}
