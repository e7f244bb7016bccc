// The original layout of Flux.1's transformer (Black Forest Labs, model.py) -> diffusers' names.
// Source: diffusers, loaders/single_file_utils.py, convert_flux_transformer_checkpoint_to_diffusers.

import { shiftFirst } from '../graphs/modulated-layers.js';
import { rowsOf } from '../graphs/weights.js';
import type { TensorPlace } from '../safetensors/header.js';
import { plainNames, renamed } from './original-layout.js';
import type { Tensors } from './written-part.js';

const outside = [
  ['img_in.', 'x_embedder.'],
  ['txt_in.', 'context_embedder.'],
  ['time_in.in_layer.', 'time_text_embed.timestep_embedder.linear_1.'],
  ['time_in.out_layer.', 'time_text_embed.timestep_embedder.linear_2.'],
  ['guidance_in.in_layer.', 'time_text_embed.guidance_embedder.linear_1.'],
  ['guidance_in.out_layer.', 'time_text_embed.guidance_embedder.linear_2.'],
  ['vector_in.in_layer.', 'time_text_embed.text_embedder.linear_1.'],
  ['vector_in.out_layer.', 'time_text_embed.text_embedder.linear_2.'],
  ['final_layer.linear.', 'proj_out.'],
  ['final_layer.adaLN_modulation.1.', `norm_out.${shiftFirst}.`],
] as const;

const double = [
  ['img_mod.lin.', 'norm1.linear.'],
  ['txt_mod.lin.', 'norm1_context.linear.'],
  ['img_attn.norm.query_norm.scale', 'attn.norm_q.weight'],
  ['img_attn.norm.key_norm.scale', 'attn.norm_k.weight'],
  ['txt_attn.norm.query_norm.scale', 'attn.norm_added_q.weight'],
  ['txt_attn.norm.key_norm.scale', 'attn.norm_added_k.weight'],
  ['img_attn.proj.', 'attn.to_out.0.'],
  ['txt_attn.proj.', 'attn.to_add_out.'],
  ['img_mlp.0.', 'ff.net.0.proj.'],
  ['img_mlp.2.', 'ff.net.2.'],
  ['txt_mlp.0.', 'ff_context.net.0.proj.'],
  ['txt_mlp.2.', 'ff_context.net.2.'],
] as const;
const single = [
  ['modulation.lin.', 'norm.linear.'],
  ['norm.query_norm.scale', 'attn.norm_q.weight'],
  ['norm.key_norm.scale', 'attn.norm_k.weight'],
  ['linear2.', 'proj_out.'],
] as const;

/** Matrices whose rows are those of several layers: which, and how many widths each has. */
const joined: Readonly<Record<string, readonly (readonly [name: string, widths: number])[]>> = {
  'img_attn.qkv': [
    ['attn.to_q', 1],
    ['attn.to_k', 1],
    ['attn.to_v', 1],
  ],
  'txt_attn.qkv': [
    ['attn.add_q_proj', 1],
    ['attn.add_k_proj', 1],
    ['attn.add_v_proj', 1],
  ],
  linear1: [
    ['attn.to_q', 1],
    ['attn.to_k', 1],
    ['attn.to_v', 1],
    ['proj_mlp', 4],
  ],
};

const block = /^(double|single)_blocks\.(\d+)\.(.*)$/;

/** @throws RangeError for a matrix that cannot be several layers' */
export function originalFluxTransformer(tensors: Tensors, prefix: string): Tensors {
  const result = new Map<string, TensorPlace>();
  for (const [name, place] of plainNames(tensors, prefix)) {
    const match = block.exec(name);
    if (!match) {
      result.set(renamed(name, outside), place);
      continue;
    }
    const [, kind, layer, rest] = match as unknown as [string, 'double' | 'single', string, string];
    const to = `${kind === 'double' ? '' : 'single_'}transformer_blocks.${layer}`;
    const [, matrix, which] = /^(.*)\.(weight|bias)$/.exec(rest) ?? [];
    const layers = matrix !== undefined && Object.hasOwn(joined, matrix) ? joined[matrix] : undefined;
    if (!layers) {
      result.set(`${to}.${renamed(rest, kind === 'double' ? double : single)}`, place);
      continue;
    }
    const width = (place.shape[0] ?? 0) / layers.reduce((sum, [, widths]) => sum + widths, 0);
    if (!Number.isInteger(width)) throw new RangeError(`its tensor ${prefix}${name} is not of ${layers.length} layers`);
    let start = 0;
    for (const [own, widths] of layers) {
      result.set(`${to}.${own}.${which}`, rowsOf(place, start, widths * width));
      start += widths * width;
    }
  }
  return result;
}
