// The VAE of Stable Diffusion, as two graphs. Source: diffusers, autoencoder_kl.py and vae.py. The encoder gives the parameters of
// the distribution, so that the draw is the request's.

import type { ComputingPrecision } from '../../model-facts.js';
import { fusedAttention } from './attention.js';
import type { Value, WrittenGraph } from './graph-writer.js';
import { Layers } from './layers.js';
import { resnetBlock } from './resnet.js';
import type { Weights } from './weights.js';

export interface AutoencoderKlConfig {
  readonly latentChannels: number;
  /** Channels of the levels, from the picture down. */
  readonly channels: readonly number[];
  /** Residual blocks of a level of the encoder; the decoder has one more. */
  readonly resnets: number;
  readonly groups: number;
  /** Convolutions of the latents, which later models leave out. */
  readonly quantConv: boolean;
  readonly postQuantConv: boolean;
}

const epsilon = 1e-6;
const colours = 3;

/** sample [batch, 3, height, width] -> latent_parameters: means, then the logarithms of the variances */
export function writeKlEncoder(
  weights: Weights,
  config: AutoencoderKlConfig,
  precision: ComputingPrecision,
): WrittenGraph {
  const g = new Layers(weights, precision);
  const { channels, resnets, groups } = config;
  const norm = { groups, epsilon };
  const parameters = 2 * config.latentChannels;

  const sample = g.floatInput('sample', ['batch', colours, 'height', 'width']);
  let from = channels[0]!;
  let h = g.conv(sample, 'encoder.conv_in', colours, from);
  for (const [level, to] of channels.entries()) {
    const name = `encoder.down_blocks.${level}`;
    for (let i = 0; i < resnets; i++) {
      h = resnetBlock(g, h, `${name}.resnets.${i}`, from, to, norm);
      from = to;
    }
    if (level === channels.length - 1) continue;
    h = g.conv(h, `${name}.downsamplers.0.conv`, to, to, { stride: 2, pads: [0, 0, 1, 1] });
  }
  h = middle(g, h, 'encoder.mid_block', from, groups);
  h = g.silu(g.groupNorm(h, 'encoder.conv_norm_out', from, groups, epsilon));
  h = g.conv(h, 'encoder.conv_out', from, parameters);
  if (config.quantConv) h = g.conv(h, 'quant_conv', parameters, parameters, { kernel: 1 });
  g.output('latent_parameters', h, ['batch', parameters, 'latent_height', 'latent_width']);
  return g.finish(channels.length - 1);
}

/** latent_sample -> sample [batch, 3, height, width] */
export function writeKlDecoder(
  weights: Weights,
  config: AutoencoderKlConfig,
  precision: ComputingPrecision,
): WrittenGraph {
  const g = new Layers(weights, precision);
  const { latentChannels, groups } = config;
  const channels = config.channels.toReversed();
  const norm = { groups, epsilon };

  let h = g.floatInput('latent_sample', ['batch', latentChannels, 'latent_height', 'latent_width']);
  if (config.postQuantConv) h = g.conv(h, 'post_quant_conv', latentChannels, latentChannels, { kernel: 1 });
  let from = channels[0]!;
  h = g.conv(h, 'decoder.conv_in', latentChannels, from);
  h = middle(g, h, 'decoder.mid_block', from, groups);
  for (const [level, to] of channels.entries()) {
    const name = `decoder.up_blocks.${level}`;
    for (let i = 0; i <= config.resnets; i++) {
      h = resnetBlock(g, h, `${name}.resnets.${i}`, from, to, norm);
      from = to;
    }
    if (level < channels.length - 1) h = g.conv(g.upsample(h), `${name}.upsamplers.0.conv`, to, to);
  }
  h = g.silu(g.groupNorm(h, 'decoder.conv_norm_out', from, groups, epsilon));
  g.output('sample', g.conv(h, 'decoder.conv_out', from, colours), ['batch', colours, 'height', 'width']);
  return g.finish(0);
}

function middle(g: Layers, x: Value, name: string, channels: number, groups: number): Value {
  const norm = { groups, epsilon };
  let h = resnetBlock(g, x, `${name}.resnets.0`, channels, channels, norm);
  h = attend(g, h, `${name}.attentions.0`, channels, groups);
  return resnetBlock(g, h, `${name}.resnets.1`, channels, channels, norm);
}

/** The names of the attention's layers: today's, and those of models saved before diffusers 0.15. */
const layerNames = { to_q: 'query', to_k: 'key', to_v: 'value', 'to_out.0': 'proj_attn' } as const;

/** One head over all pixels. */
function attend(g: Layers, x: Value, name: string, channels: number, groups: number): Value {
  const old = g.tensors.has(`${name}.query.weight`);
  const rows = g.rowsOf(x);
  const linear = (tokens: Value, layer: keyof typeof layerNames) =>
    g.linear(tokens, `${name}.${old ? layerNames[layer] : layer}`, channels, channels);
  const tokens = g.toTokens(g.groupNorm(x, `${name}.group_norm`, channels, groups, epsilon), channels);
  const project = (layer: keyof typeof layerNames) => g.inRows(linear(tokens, layer), rows, [-1, channels]);
  const mixed = fusedAttention(g, project('to_q'), project('to_k'), project('to_v'), { heads: 1, width: channels });
  const flat = g.node('Reshape', [mixed, g.integers([-1, channels])]);
  return g.add(g.toPicture(linear(flat, 'to_out.0'), x), x);
}
