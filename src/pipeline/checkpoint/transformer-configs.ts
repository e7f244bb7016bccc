// The config.json of transformers that denoise, and of T5 -> what a graph is written from.

import type { Json } from '../folder/configs.js';
import type { FluxTransformerConfig } from '../graphs/flux-transformer.js';
import type { JointTransformerConfig } from '../graphs/joint-transformer.js';
import type { T5EncoderConfig } from '../graphs/t5-encoder.js';
import { ConfigValues } from './config-values.js';

/** Of diffusers' SD3Transformer2DModel. @throws ModelFolderError for what the written graph does not have */
export function jointTransformerConfig(json: Json, file: string): JointTransformerConfig {
  const values = new ConfigValues(json, file);
  values.onlyUnderstands({ _class_name: ['SD3Transformer2DModel'], qk_norm: ['rms_norm'] });
  const layers = values.countPerLevel('num_layers', 1, 18)[0]!;
  const heads = values.count('num_attention_heads', 18);
  const width = heads * values.count('attention_head_dim', 64);
  if (values.count('caption_projection_dim', 1152) !== width) {
    values.fail('caption_projection_dim', `not the width of a token, which is ${width}`);
  }
  const patch = values.count('patch_size', 2);
  if (!Number.isInteger(Math.log2(patch)) || patch > 16) values.fail('patch_size', 'not a power of 2 up to 16');
  const channels = values.count('in_channels', 16);
  const dual: unknown = json.dual_attention_layers ?? [];
  const isLayer = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < layers;
  if (!Array.isArray(dual) || !dual.every(isLayer)) {
    values.fail('dual_attention_layers', `not a list of layers from 0 to ${layers - 1}`);
  }
  return {
    ...{ channels, patch, layers, heads, width },
    outChannels: values.optionalCount('out_channels') ?? channels,
    positions: values.count('pos_embed_max_size', 96),
    sampleSize: values.count('sample_size', 128),
    contextWidth: values.count('joint_attention_dim', 4096),
    pooledWidth: values.count('pooled_projection_dim', 2048),
    normsHeads: values.has('qk_norm'),
    dualLayers: dual as readonly number[],
  };
}

/** Of diffusers' FluxTransformer2DModel. @throws ModelFolderError for what the written graph does not have */
export function fluxTransformerConfig(json: Json, file: string): FluxTransformerConfig {
  const values = new ConfigValues(json, file);
  values.onlyUnderstands({ _class_name: ['FluxTransformer2DModel'], patch_size: [1] });
  const heads = values.count('num_attention_heads', 24);
  const headWidth = values.count('attention_head_dim', 128);
  const axes: unknown = json.axes_dims_rope ?? [16, 56, 56];
  const isAxis = (size: unknown) => Number.isSafeInteger(size) && Number(size) > 0 && Number(size) % 2 === 0;
  const fits = Array.isArray(axes) && axes.length === 3 && axes.every(isAxis);
  if (!fits || axes.reduce((sum, size) => sum + size, 0) !== headWidth) {
    values.fail('axes_dims_rope', `not three even widths that are ${headWidth} together, as attention_head_dim says`);
  }
  const channels = values.count('in_channels', 64);
  return {
    ...{ channels, heads, axes: axes as readonly number[], width: heads * headWidth },
    outChannels: values.optionalCount('out_channels') ?? channels,
    layers: values.countPerLevel('num_layers', 1, 19)[0]!,
    singleLayers: values.countPerLevel('num_single_layers', 1, 38)[0]!,
    contextWidth: values.count('joint_attention_dim', 4096),
    pooledWidth: values.count('pooled_projection_dim', 768),
    takesGuidance: values.flag('guidance_embeds', false),
  };
}

/** Of transformers' T5Config. @throws ModelFolderError for what the written graph does not have */
export function t5EncoderConfig(json: Json, file: string): T5EncoderConfig {
  const values = new ConfigValues(json, file);
  values.onlyUnderstands({ model_type: ['t5'] });
  values.word('feed_forward_proj', ['gated-gelu'], 'relu');
  const heads = values.count('num_heads', 8);
  const buckets = values.count('relative_attention_num_buckets', 32);
  if (buckets % 4 !== 0 || buckets > 1024)
    values.fail('relative_attention_num_buckets', 'not a multiple of 4 up to 1024');
  const maxDistance = values.count('relative_attention_max_distance', 128);
  if (maxDistance <= buckets / 4) values.fail('relative_attention_max_distance', `not more than ${buckets / 4}`);
  return {
    ...{ heads, buckets, maxDistance },
    vocabulary: values.count('vocab_size', 32128),
    width: values.count('d_model', 512),
    attentionWidth: heads * values.count('d_kv', 64),
    innerWidth: values.count('d_ff', 2048),
    layers: values.countPerLevel('num_layers', 1, 6)[0]!,
    epsilon: values.number('layer_norm_epsilon', 1e-6),
  };
}
