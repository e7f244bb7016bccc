// The original layout of Stable Diffusion 3's transformer (Stability AI, mmdit.py) -> diffusers' names.
// Source: diffusers, loaders/single_file_utils.py, convert_sd3_transformer_checkpoint_to_diffusers.

import { shiftFirst } from '../graphs/modulated-layers.js';
import { rowsOf } from '../graphs/weights.js';
import type { TensorPlace } from '../safetensors/header.js';
import { plainNames, renamed } from './original-layout.js';
import type { Tensors } from './written-part.js';

const outside = [
  ['x_embedder.proj.', 'pos_embed.proj.'],
  ['pos_embed', 'pos_embed.pos_embed'],
  ['t_embedder.mlp.0.', 'time_text_embed.timestep_embedder.linear_1.'],
  ['t_embedder.mlp.2.', 'time_text_embed.timestep_embedder.linear_2.'],
  ['y_embedder.mlp.0.', 'time_text_embed.text_embedder.linear_1.'],
  ['y_embedder.mlp.2.', 'time_text_embed.text_embedder.linear_2.'],
  ['final_layer.linear.', 'proj_out.'],
  ['final_layer.adaLN_modulation.1.', `norm_out.${shiftFirst}.`],
] as const;

const ofPicture = [
  ['attn.ln_q.', 'attn.norm_q.'],
  ['attn.ln_k.', 'attn.norm_k.'],
  ['attn.proj.', 'attn.to_out.0.'],
  ['attn2.ln_q.', 'attn2.norm_q.'],
  ['attn2.ln_k.', 'attn2.norm_k.'],
  ['attn2.proj.', 'attn2.to_out.0.'],
  ['mlp.fc1.', 'ff.net.0.proj.'],
  ['mlp.fc2.', 'ff.net.2.'],
  ['adaLN_modulation.1.', 'norm1.linear.'],
] as const;
const ofPrompt = [
  ['attn.ln_q.', 'attn.norm_added_q.'],
  ['attn.ln_k.', 'attn.norm_added_k.'],
  ['attn.proj.', 'attn.to_add_out.'],
  ['mlp.fc1.', 'ff_context.net.0.proj.'],
  ['mlp.fc2.', 'ff_context.net.2.'],
  ['adaLN_modulation.1.', 'norm1_context.linear.'],
] as const;
const joined = {
  x_block: ['to_q', 'to_k', 'to_v'],
  context_block: ['add_q_proj', 'add_k_proj', 'add_v_proj'],
} as const;

const block = /^joint_blocks\.(\d+)\.(x_block|context_block)\.(.*)$/;

/** The last layer, after which the prompt's tokens go nowhere, shifts before it scales, as the final one does; diffusers turns both round. */
export function originalJointTransformer(tensors: Tensors, prefix: string): Tensors {
  const own = plainNames(tensors, prefix);
  const last = Math.max(...[...own.keys()].map((name) => Number(block.exec(name)?.[1] ?? -1)));
  const result = new Map<string, TensorPlace>();
  for (const [name, place] of own) {
    const match = block.exec(name);
    if (!match) {
      result.set(renamed(name, outside), place);
      continue;
    }
    const [, layer, stream, rest] = match as unknown as [string, string, keyof typeof joined, string];
    const to = `transformer_blocks.${layer}`;
    const three = /^(attn2?)\.qkv\.(weight|bias)$/.exec(rest);
    if (three) {
      const [, attention, which] = three;
      const width = (place.shape[0] ?? 0) / 3;
      if (!Number.isInteger(width)) throw new RangeError(`its tensor ${prefix}${name} is not of three equal parts`);
      for (const [i, part] of joined[stream].entries()) {
        result.set(`${to}.${attention}.${part}.${which}`, rowsOf(place, i * width, width));
      }
      continue;
    }
    const isLast = stream === 'context_block' && Number(layer) === last;
    const renamedRest = renamed(rest, stream === 'x_block' ? ofPicture : ofPrompt);
    result.set(
      `${to}.${isLast ? renamedRest.replace('norm1_context.linear', `norm1_context.${shiftFirst}`) : renamedRest}`,
      place,
    );
  }
  return result;
}
