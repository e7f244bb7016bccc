// The config.json of each part as diffusers and transformers write it -> what a graph is written from.

import type { Json } from '../folder/configs.js';
import type { AutoencoderKlConfig } from '../graphs/autoencoder-kl.js';
import type { AutoencoderTinyConfig } from '../graphs/autoencoder-tiny.js';
import type { ClipTextConfig } from '../graphs/clip-text.js';
import type { ClipVisionConfig } from '../graphs/clip-vision.js';
import type { UNetConfig } from '../graphs/unet.js';
import { ConfigValues } from './config-values.js';

const downBlocks = ['CrossAttnDownBlock2D', 'DownBlock2D'];
const upBlocks = ['CrossAttnUpBlock2D', 'UpBlock2D'];

/** What diffusers' UNet2DConditionModel can be beside Stable Diffusion's. */
const unetOptions = {
  act_fn: ['silu'],
  addition_embed_type: ['text_time'],
  attention_type: ['default'],
  center_input_sample: [false],
  class_embed_type: [],
  conv_in_kernel: [3],
  conv_out_kernel: [3],
  cross_attention_norm: [],
  downsample_padding: [1],
  dual_cross_attention: [false],
  encoder_hid_dim: [],
  encoder_hid_dim_type: [],
  mid_block_only_cross_attention: [false],
  mid_block_scale_factor: [1],
  mid_block_type: ['UNetMidBlock2DCrossAttn'],
  num_class_embeds: [],
  only_cross_attention: [false],
  resnet_out_scale_factor: [1],
  resnet_skip_time_act: [false],
  resnet_time_scale_shift: ['default'],
  reverse_transformer_layers_per_block: [],
  time_embedding_act_fn: [],
  time_embedding_dim: [],
  time_embedding_type: ['positional'],
  timestep_post_act: [],
};

/** @throws ModelFolderError for what the written graph does not have */
export function unetConfig(json: Json, file: string): UNetConfig {
  const values = new ConfigValues(json, file);
  values.onlyUnderstands(unetOptions);
  const channels = values.counts('block_out_channels');
  const count = channels.length;
  const down = values.words('down_block_types', downBlocks);
  const up = values.words('up_block_types', upBlocks);
  if (down.length !== count) values.fail('down_block_types', `not one for each of ${count} levels`);
  if (up.length !== count) values.fail('up_block_types', `not one for each of ${count} levels`);
  const resnets = values.countPerLevel('layers_per_block', count, 2);
  const transformers = values.countPerLevel('transformer_layers_per_block', count, 1);
  // diffusers' old mistake: `attention_head_dim` is the number of heads.
  const heads = values.countPerLevel(
    values.has('num_attention_heads') ? 'num_attention_heads' : 'attention_head_dim',
    count,
    8,
  );
  const added = json.addition_embed_type === 'text_time';
  return {
    inChannels: values.count('in_channels', 4),
    outChannels: values.count('out_channels', 4),
    levels: channels.map((width, i) => ({
      channels: width,
      resnets: resnets[i]!,
      transformerLayers: down[i] === 'CrossAttnDownBlock2D' ? transformers[i]! : 0,
      heads: heads[i]!,
    })),
    upTransformerLayers: up.map((type, i) => (type === 'CrossAttnUpBlock2D' ? transformers[count - 1 - i]! : 0)),
    // The key with null says that there is none.
    middle:
      json.mid_block_type === null ? undefined : { transformerLayers: transformers.at(-1)!, heads: heads.at(-1)! },
    contextWidth: values.count('cross_attention_dim', 1280),
    groups: values.count('norm_num_groups', 32),
    epsilon: values.number('norm_eps', 1e-5),
    cosineFirst: values.flag('flip_sin_to_cos', true),
    frequencyShift: values.number('freq_shift', 0),
    added: added
      ? {
          timeWidth: values.count('addition_time_embed_dim'),
          width: values.count('projection_class_embeddings_input_dim'),
        }
      : undefined,
    guidanceWidth: values.optionalCount('time_cond_proj_dim'),
    sampleSize: values.count('sample_size', 64),
  };
}

export function klConfig(json: Json, file: string): AutoencoderKlConfig {
  const values = new ConfigValues(json, file);
  values.onlyUnderstands({ act_fn: ['silu'], in_channels: [3], out_channels: [3], mid_block_add_attention: [true] });
  const channels = values.counts('block_out_channels');
  for (const [key, type] of [
    ['down_block_types', 'DownEncoderBlock2D'],
    ['up_block_types', 'UpDecoderBlock2D'],
  ] as const) {
    if (values.words(key, [type]).length !== channels.length)
      values.fail(key, `not one for each of ${channels.length} levels`);
  }
  return {
    latentChannels: values.count('latent_channels', 4),
    channels,
    resnets: values.countPerLevel('layers_per_block', 1, 1)[0]!,
    groups: values.count('norm_num_groups', 32),
    quantConv: values.flag('use_quant_conv', true),
    postQuantConv: values.flag('use_post_quant_conv', true),
  };
}

export function tinyConfig(json: Json, file: string): AutoencoderTinyConfig {
  const values = new ConfigValues(json, file);
  values.onlyUnderstands({
    in_channels: [3],
    out_channels: [3],
    upsampling_scaling_factor: [2],
    upsample_fn: ['nearest'],
  });
  const levels = (side: 'encoder' | 'decoder') => {
    const channels = values.counts(`${side}_block_out_channels`);
    const blocks = values.countPerLevel(`num_${side}_blocks`, channels.length, 3);
    return channels.map((width, i) => ({ channels: width, blocks: blocks[i]! }));
  };
  return {
    latentChannels: values.count('latent_channels', 4),
    encoder: levels('encoder'),
    decoder: levels('decoder'),
    activation: values.word('act_fn', ['relu', 'silu', 'gelu'], 'relu') as AutoencoderTinyConfig['activation'],
  };
}

/** Key of our own, of a projection that is no tensor of the file: it would change nothing. */
export const identityProjection = 'identity_projection';

/** @param projects whether the weights have a projection, which a config says by its class only */
export function clipTextConfig(json: Json, file: string, projects: boolean): ClipTextConfig {
  const values = new ConfigValues(json, file);
  values.onlyUnderstands({ model_type: ['clip_text_model'] });
  const endToken = values.count('eos_token_id', 49407);
  return {
    vocabulary: values.count('vocab_size', 49408),
    tokens: values.count('max_position_embeddings', 77),
    width: values.count('hidden_size', 512),
    innerWidth: values.count('intermediate_size', 2048),
    layers: values.countPerLevel('num_hidden_layers', 1, 12)[0]!,
    heads: values.count('num_attention_heads', 8),
    activation: values.word('hidden_act', ['quick_gelu', 'gelu'], 'quick_gelu') as ClipTextConfig['activation'],
    epsilon: values.number('layer_norm_eps', 1e-5),
    endToken: endToken === 2 ? undefined : endToken, // the first configs have a wrong id, which transformers looks past
    projection: values.flag(identityProjection, false)
      ? 'identity'
      : projects
        ? values.count('projection_dim', 512)
        : undefined,
  };
}

/** Of transformers' CLIPConfig, whose oldest files say what counts in `vision_config_dict`. */
export function clipVisionConfig(json: Json, file: string): ClipVisionConfig {
  const told: Json = { ...json.vision_config, ...json.vision_config_dict };
  const values = new ConfigValues(told, `${file}: vision_config`);
  values.onlyUnderstands({ model_type: ['clip_vision_model'], num_channels: [3] });
  const [side, patch] = [values.count('image_size', 224), values.count('patch_size', 32)];
  if (side % patch !== 0 || side > 1024) values.fail('image_size', `no multiple of patch_size ${patch} up to 1024`);
  const [width, heads] = [values.count('hidden_size', 768), values.count('num_attention_heads', 12)];
  if (width % heads !== 0) values.fail('num_attention_heads', `no divisor of hidden_size ${width}`);
  return {
    ...{ side, patch, width, heads },
    innerWidth: values.count('intermediate_size', 3072),
    layers: values.countPerLevel('num_hidden_layers', 1, 12)[0]!,
    activation: values.word('hidden_act', ['quick_gelu', 'gelu'], 'quick_gelu') as ClipVisionConfig['activation'],
    epsilon: values.number('layer_norm_eps', 1e-5),
    projection: new ConfigValues(json, file).count('projection_dim', 512),
  };
}
