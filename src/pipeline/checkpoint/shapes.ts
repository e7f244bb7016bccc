// What the config.json of a part would say, read from the shapes of its weights. What shapes cannot say follows the family.

import type { Json } from '../folder/configs.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import type { Tensors } from './written-part.js';

export const sideOf = (tensors: Tensors, name: string, side: number): number => {
  const length = tensors.get(name)?.shape[side];
  if (length === undefined) throw new ModelFolderError(`its weights ${name} are missing`);
  return length;
};

/** How many different numbers stand in the place of the group. */
export const countOf = (tensors: Tensors, pattern: RegExp): number =>
  new Set([...tensors.keys()].flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;

/** Stable Diffusion 1 has 8 heads of any width; the later ones have as many of 64 as fit. */
const firstHeads = 8;
export const laterHeadWidth = 64;
/** A name of a stranger's may have any number. */
const mostTinyLayers = 100;

/** @param pooledWidth of the text encoder that gives the pooled embedding, and how many time ids there are: XL only */
export function unetJson(tensors: Tensors, pooled?: { readonly width: number; readonly timeIds: number }): Json {
  const levels = Array.from({ length: countOf(tensors, /^down_blocks\.(\d+)\./) }, (_, i) => i);
  const layersOf = (place: string) =>
    countOf(tensors, new RegExp(`^${place}\\.attentions\\.0\\.transformer_blocks\\.(\\d+)\\.`));
  const middle = layersOf('mid_block');
  const transformers = levels.map((i) => layersOf(`down_blocks.${i}`));
  const channels = levels.map((i) => sideOf(tensors, `down_blocks.${i}.resnets.0.conv1.weight`, 0));
  const projections = tensors.get('mid_block.attentions.0.proj_in.weight');
  const first = projections?.shape.length === 4;
  const added = tensors.get('add_embedding.linear_1.weight')?.shape[1];
  if (added !== undefined && !pooled)
    throw new ModelFolderError('its UNet takes pooled embeddings, and no text encoder gives them');
  return {
    in_channels: sideOf(tensors, 'conv_in.weight', 1),
    out_channels: sideOf(tensors, 'conv_out.weight', 0),
    block_out_channels: channels,
    down_block_types: transformers.map((count) => (count > 0 ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    up_block_types: transformers.map((count) => (count > 0 ? 'CrossAttnUpBlock2D' : 'UpBlock2D')).toReversed(),
    layers_per_block: levels.map((i) => countOf(tensors, new RegExp(`^down_blocks\\.${i}\\.resnets\\.(\\d+)\\.`))),
    transformer_layers_per_block: transformers.map((count) => count || middle),
    attention_head_dim: channels.map((width) => (first ? firstHeads : Math.max(1, Math.floor(width / laterHeadWidth)))),
    cross_attention_dim: sideOf(tensors, 'mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight', 1),
    use_linear_projection: !first,
    time_cond_proj_dim: tensors.get('time_embedding.cond_proj.weight')?.shape[1] ?? null,
    ...(added !== undefined && {
      addition_embed_type: 'text_time',
      addition_time_embed_dim: (added - pooled!.width) / pooled!.timeIds,
      projection_class_embeddings_input_dim: added,
    }),
  };
}

export function vaeJson(tensors: Tensors): Json {
  const levels = Array.from({ length: countOf(tensors, /^encoder\.down_blocks\.(\d+)\./) }, (_, i) => i);
  return {
    _class_name: 'AutoencoderKL',
    latent_channels: sideOf(tensors, 'decoder.conv_in.weight', 1),
    block_out_channels: levels.map((i) => sideOf(tensors, `encoder.down_blocks.${i}.resnets.0.conv1.weight`, 0)),
    layers_per_block: countOf(tensors, /^encoder\.down_blocks\.0\.resnets\.(\d+)\./),
    down_block_types: levels.map(() => 'DownEncoderBlock2D'),
    up_block_types: levels.map(() => 'UpDecoderBlock2D'),
    use_quant_conv: tensors.has('quant_conv.weight'),
    use_post_quant_conv: tensors.has('post_quant_conv.weight'),
  };
}

/** @param activation OpenAI's CLIP has `quick_gelu`, open_clip's `gelu` */
export function clipTextJson(tensors: Tensors, activation: 'quick_gelu' | 'gelu'): Json {
  const embeddings = 'text_model.embeddings';
  const width = sideOf(tensors, `${embeddings}.token_embedding.weight`, 1);
  return {
    vocab_size: sideOf(tensors, `${embeddings}.token_embedding.weight`, 0),
    max_position_embeddings: sideOf(tensors, `${embeddings}.position_embedding.weight`, 0),
    hidden_size: width,
    intermediate_size: sideOf(tensors, 'text_model.encoder.layers.0.mlp.fc1.weight', 0),
    num_hidden_layers: countOf(tensors, /^text_model\.encoder\.layers\.(\d+)\./),
    num_attention_heads: Math.max(1, Math.floor(width / laterHeadWidth)),
    hidden_act: activation,
    projection_dim: tensors.get('text_projection')?.shape[1] ?? tensors.get('text_projection.weight')?.shape[0],
    eos_token_id: 2, // the token of the highest id, as in these families' configs
  };
}

/** Of AutoencoderTiny, whose layers are numbered through: a convolution ends each level, and nothing stands where sides double. */
export function tinyDecoderJson(tensors: Tensors): Json {
  const numbers = [...tensors.keys()].flatMap((key) => /^decoder\.layers\.(\d+)\./.exec(key)?.[1] ?? []).map(Number);
  const blocks: number[] = [0];
  for (let layer = 1; layer <= Math.min(Math.max(...numbers), mostTinyLayers); layer++) {
    if (tensors.has(`decoder.layers.${layer}.conv.0.weight`)) blocks[blocks.length - 1]!++;
    else if (tensors.has(`decoder.layers.${layer}.weight`)) blocks.push(0);
  }
  blocks.pop(); // after the last convolution
  const channels = blocks.map(() => sideOf(tensors, 'decoder.layers.0.weight', 0));
  return {
    _class_name: 'AutoencoderTiny',
    latent_channels: sideOf(tensors, 'decoder.layers.0.weight', 1),
    ...{ decoder_block_out_channels: channels, num_decoder_blocks: blocks },
    ...{ encoder_block_out_channels: channels, num_encoder_blocks: blocks },
  };
}
