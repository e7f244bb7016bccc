// What the config.json of a transformer and of a T5 would say, read from the shapes of their weights.

import type { Json } from '../folder/configs.js';
import { countOf, laterHeadWidth, sideOf } from './shapes.js';
import type { Tensors } from './written-part.js';

/** Of diffusers' SD3Transformer2DModel. */
export function jointTransformerJson(tensors: Tensors): Json {
  const [width, channels, patch] = [0, 1, 2].map((side) => sideOf(tensors, 'pos_embed.proj.weight', side)) as [
    number,
    number,
    number,
  ];
  const normed = tensors.get('transformer_blocks.0.attn.norm_q.weight')?.shape[0];
  const headWidth = normed ?? Math.min(width, laterHeadWidth);
  const dual = [...tensors.keys()].flatMap((name) => /^transformer_blocks\.(\d+)\.attn2\./.exec(name)?.[1] ?? []);
  return {
    _class_name: 'SD3Transformer2DModel',
    in_channels: channels,
    out_channels: sideOf(tensors, 'proj_out.weight', 0) / patch ** 2,
    patch_size: patch,
    num_layers: countOf(tensors, /^transformer_blocks\.(\d+)\./),
    attention_head_dim: headWidth,
    num_attention_heads: width / headWidth,
    caption_projection_dim: sideOf(tensors, 'context_embedder.weight', 0),
    joint_attention_dim: sideOf(tensors, 'context_embedder.weight', 1),
    pooled_projection_dim: sideOf(tensors, 'time_text_embed.text_embedder.linear_1.weight', 1),
    pos_embed_max_size: Math.sqrt(sideOf(tensors, 'pos_embed.pos_embed', 1)),
    qk_norm: normed === undefined ? null : 'rms_norm',
    dual_attention_layers: [...new Set(dual.map(Number))],
  };
}

/** Of diffusers' FluxTransformer2DModel. */
export function fluxTransformerJson(tensors: Tensors): Json {
  const width = sideOf(tensors, 'x_embedder.weight', 0);
  const headWidth = sideOf(tensors, 'transformer_blocks.0.attn.norm_q.weight', 0);
  return {
    _class_name: 'FluxTransformer2DModel',
    in_channels: sideOf(tensors, 'x_embedder.weight', 1),
    out_channels: sideOf(tensors, 'proj_out.weight', 0),
    num_layers: countOf(tensors, /^transformer_blocks\.(\d+)\./),
    num_single_layers: countOf(tensors, /^single_transformer_blocks\.(\d+)\./),
    attention_head_dim: headWidth,
    num_attention_heads: width / headWidth,
    joint_attention_dim: sideOf(tensors, 'context_embedder.weight', 1),
    pooled_projection_dim: sideOf(tensors, 'time_text_embed.text_embedder.linear_1.weight', 1),
    guidance_embeds: tensors.has('time_text_embed.guidance_embedder.linear_1.weight'),
    axes_dims_rope: axesOf(headWidth),
  };
}

/** About an eighth of a head turns with the picture's number, of the rest one half each with row and column: 16, 56 and 56 of 128. */
function axesOf(headWidth: number): number[] {
  const least = 2 * Math.ceil(headWidth / 16);
  const first = least + ((headWidth - least) % 4);
  const half = (headWidth - first) / 2;
  return [first, half, half];
}

/** Of transformers' T5Config, version 1.1. */
export function t5Json(tensors: Tensors): Json {
  const first = 'encoder.block.0.layer';
  const buckets = `${first}.0.SelfAttention.relative_attention_bias.weight`;
  const heads = sideOf(tensors, buckets, 1);
  return {
    model_type: 't5',
    vocab_size: sideOf(tensors, 'shared.weight', 0),
    d_model: sideOf(tensors, 'shared.weight', 1),
    d_kv: sideOf(tensors, `${first}.0.SelfAttention.q.weight`, 0) / heads,
    d_ff: sideOf(tensors, `${first}.1.DenseReluDense.wi_0.weight`, 0),
    num_layers: countOf(tensors, /^encoder\.block\.(\d+)\./),
    num_heads: heads,
    relative_attention_num_buckets: sideOf(tensors, buckets, 0),
    feed_forward_proj: 'gated-gelu',
  };
}
