// The original layout of Stable Diffusion's checkpoints (CompVis, Stability AI) -> diffusers' names, part by part.
// Source: diffusers, loaders/single_file_utils.py, which has the same tables.

import { rowsOf } from '../graphs/weights.js';
import type { TensorPlace } from '../safetensors/header.js';
import type { Tensors } from './written-part.js';

export const renamed = (name: string, table: readonly (readonly [from: string, to: string])[]): string => {
  const entry = table.find(([from]) => name.startsWith(from));
  return entry ? entry[1] + name.slice(entry[0].length) : name;
};

/** Tensors below a prefix, renamed; those that get no name are left out. */
function mapped(tensors: Tensors, prefix: string, rename: (name: string) => string | undefined): Tensors {
  const result = new Map<string, TensorPlace>();
  for (const [name, place] of tensors) {
    if (!name.startsWith(prefix)) continue;
    const to = rename(name.slice(prefix.length));
    if (to !== undefined) result.set(to, place);
  }
  return result;
}

/** Tensors below a prefix, without it. */
export const plainNames = (tensors: Tensors, prefix: string): Tensors => mapped(tensors, prefix, (name) => name);

const unetEnds = [
  ['time_embed.0.', 'time_embedding.linear_1.'],
  ['time_embed.2.', 'time_embedding.linear_2.'],
  ['time_embed.cond_proj.', 'time_embedding.cond_proj.'],
  ['label_emb.0.0.', 'add_embedding.linear_1.'],
  ['label_emb.0.2.', 'add_embedding.linear_2.'],
  ['input_blocks.0.0.', 'conv_in.'],
  ['middle_block.0.', 'mid_block.resnets.0.'],
  ['middle_block.1.', 'mid_block.attentions.0.'],
  ['middle_block.2.', 'mid_block.resnets.1.'],
  ['out.0.', 'conv_norm_out.'],
  ['out.2.', 'conv_out.'],
] as const;
const resnetNames = [
  ['in_layers.0.', 'norm1.'],
  ['in_layers.2.', 'conv1.'],
  ['emb_layers.1.', 'time_emb_proj.'],
  ['out_layers.0.', 'norm2.'],
  ['out_layers.3.', 'conv2.'],
  ['skip_connection.', 'conv_shortcut.'],
] as const;

/** The original numbers its blocks through; diffusers has levels of `resnets` blocks and one that changes the size. */
export function originalUnet(tensors: Tensors, prefix: string): Tensors {
  const names = [...tensors.keys()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  const blocks = new Set(names.flatMap((name) => /^input_blocks\.(\d+)\./.exec(name)?.[1] ?? [])).size;
  const levels = names.filter((name) => /^input_blocks\.\d+\.0\.op\.weight$/.test(name)).length + 1;
  const perLevel = blocks / levels; // the resnets, and the first convolution or the one that halves the sides
  return mapped(tensors, prefix, (name) => {
    const end = renamed(name, unetEnds);
    if (end !== name) return end.startsWith('mid_block.resnets') ? inResnet(end) : end;
    const match = /^(input|output)_blocks\.(\d+)\.(\d)\.(.*)$/.exec(name);
    if (!match) return name;
    const [, way, number, place, rest] = match;
    const index = Number(number) - (way === 'input' ? 1 : 0);
    const block = `${way === 'input' ? 'down' : 'up'}_blocks.${Math.floor(index / perLevel)}`;
    if (rest!.startsWith('op.')) return `${block}.downsamplers.0.conv.${rest!.slice(3)}`;
    if (rest!.startsWith('conv.') && place !== '0') return `${block}.upsamplers.0.${rest}`;
    if (place === '0') return inResnet(`${block}.resnets.${index % perLevel}.${rest}`);
    return `${block}.attentions.${index % perLevel}.${rest}`;
  });
}

function inResnet(name: string): string {
  const [, block, rest] = /^(.*resnets\.\d+\.)(.*)$/.exec(name)!;
  return block + renamed(rest!, resnetNames);
}

const vaeAttention = [
  ['norm.', 'group_norm.'],
  ['q.', 'to_q.'],
  ['k.', 'to_k.'],
  ['v.', 'to_v.'],
  ['proj_out.', 'to_out.0.'],
] as const;

/** The original counts the decoder's levels from the picture, diffusers from the latents. */
export function originalVae(tensors: Tensors, prefix: string): Tensors {
  const levels = new Set([...tensors.keys()].flatMap((name) => /\.decoder\.up\.(\d+)\./.exec(name)?.[1] ?? [])).size;
  return mapped(tensors, prefix, (name) => {
    if (!/^(encoder|decoder|quant_conv|post_quant_conv)\./.test(name)) return undefined; // the discriminator of the training
    const match = /^(encoder|decoder)\.(?:(down|up)\.(\d+)|mid)\.(.*)$/.exec(name);
    if (!match) return name.replace(/\.norm_out\./, '.conv_norm_out.');
    const [, side, way, level, rest] = match;
    if (way === undefined) {
      const middle = `${side}.mid_block`;
      if (rest!.startsWith('attn_1.')) return `${middle}.attentions.0.${renamed(rest!.slice(7), vaeAttention)}`;
      return rest!.replace(/^block_(\d)\./, (_, number) => `${middle}.resnets.${Number(number) - 1}.`);
    }
    const block = way === 'down' ? `${side}.down_blocks.${level}` : `${side}.up_blocks.${levels - 1 - Number(level)}`;
    return `${block}.${rest!
      .replace(/^block\.(\d+)\./, 'resnets.$1.')
      .replace('.nin_shortcut.', '.conv_shortcut.')
      .replace(/^(down|up)sample\./, '$1samplers.0.')}`;
  });
}

/** CLIP as transformers has it; the first versions left out `text_model`. */
export function transformersClip(tensors: Tensors, prefix: string): Tensors {
  return mapped(tensors, prefix, (name) => {
    if (name.startsWith('text_model.')) return name;
    return /^(embeddings|encoder|final_layer_norm)\./.test(name) ? `text_model.${name}` : undefined;
  });
}

const openClipNames = [
  ['token_embedding.', 'text_model.embeddings.token_embedding.'],
  ['positional_embedding', 'text_model.embeddings.position_embedding.weight'],
  ['ln_final.', 'text_model.final_layer_norm.'],
] as const;
const openClipLayer = [
  ['ln_1.', 'layer_norm1.'],
  ['ln_2.', 'layer_norm2.'],
  ['attn.out_proj.', 'self_attn.out_proj.'],
  ['mlp.c_fc.', 'mlp.fc1.'],
  ['mlp.c_proj.', 'mlp.fc2.'],
] as const;
const layerOf = /^transformer\.resblocks\.(\d+)\.(.*)$/;

/**
 * CLIP as open_clip has it: query, key and value lie one after another in one matrix.
 * @param layers that are taken, from the first on
 */
export function openClip(tensors: Tensors, prefix: string, layers = Number.POSITIVE_INFINITY): Tensors {
  const result = new Map<string, TensorPlace>();
  for (const [name, place] of plainNames(tensors, prefix)) {
    const match = layerOf.exec(name);
    if (!match) {
      const to = renamed(name, openClipNames);
      if (to !== name || name === 'text_projection') result.set(to, place);
      continue;
    }
    const [, number, rest] = match;
    if (Number(number) >= layers) continue;
    const layer = `text_model.encoder.layers.${number}`;
    const joined = /^attn\.in_proj_(weight|bias)$/.exec(rest!);
    if (!joined) {
      result.set(`${layer}.${renamed(rest!, openClipLayer)}`, place);
      continue;
    }
    const width = (place.shape[0] ?? 0) / 3;
    if (!Number.isInteger(width)) throw new RangeError(`its tensor ${prefix}${name} is not of three equal parts`);
    for (const [i, which] of ['q', 'k', 'v'].entries()) {
      result.set(`${layer}.self_attn.${which}_proj.${joined[1]}`, rowsOf(place, i * width, width));
    }
  }
  return result;
}

export function openClipLayers(tensors: Tensors, prefix: string): number {
  const numbers = [...plainNames(tensors, prefix).keys()].flatMap((name) => layerOf.exec(name)?.[1] ?? []);
  return new Set(numbers).size;
}
