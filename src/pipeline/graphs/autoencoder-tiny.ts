// The tiny autoencoder (TAESD), as two graphs. Source: diffusers, autoencoder_tiny.py and vae.py. Its encoder gives latents, not a
// distribution.

import type { ComputingPrecision } from '../../model-facts.js';
import type { Value, WrittenGraph } from './graph-writer.js';
import { Layers } from './layers.js';
import type { Weights } from './weights.js';

export interface AutoencoderTinyConfig {
  readonly latentChannels: number;
  /** Channels of the levels, and their blocks: of the encoder from the picture down, of the decoder up to it. */
  readonly encoder: readonly { readonly channels: number; readonly blocks: number }[];
  readonly decoder: readonly { readonly channels: number; readonly blocks: number }[];
  readonly activation: 'relu' | 'silu' | 'gelu';
}

const colours = 3;

/** sample [batch, 3, height, width] -> latents */
export function writeTinyEncoder(
  weights: Weights,
  config: AutoencoderTinyConfig,
  precision: ComputingPrecision,
): WrittenGraph {
  const g = new Layers(weights, precision);
  const { latentChannels, encoder } = config;
  const sample = g.floatInput('sample', ['batch', colours, 'height', 'width']);
  let h = g.node('Mul', [g.add(sample, g.numbers([1], [])), g.numbers([0.5], [])]); // -1..1 -> 0..1
  let layer = 0;
  let from = colours;
  for (const [level, { channels, blocks }] of encoder.entries()) {
    h = g.conv(h, `encoder.layers.${layer++}`, from, channels, { stride: level === 0 ? 1 : 2 });
    from = channels;
    for (let i = 0; i < blocks; i++) h = block(g, h, `encoder.layers.${layer++}`, channels, config);
  }
  h = g.conv(h, `encoder.layers.${layer}`, from, latentChannels);
  g.output('latents', h, ['batch', latentChannels, 'latent_height', 'latent_width']);
  return g.finish(encoder.length - 1);
}

/** latent_sample -> sample [batch, 3, height, width] */
export function writeTinyDecoder(
  weights: Weights,
  config: AutoencoderTinyConfig,
  precision: ComputingPrecision,
): WrittenGraph {
  const g = new Layers(weights, precision);
  const { latentChannels, decoder } = config;
  const input = g.floatInput('latent_sample', ['batch', latentChannels, 'latent_height', 'latent_width']);
  const [three, third] = [3, 1 / 3].map((value) => g.numbers([value], []));
  let h = g.node('Mul', [g.node('Tanh', [g.node('Mul', [input, third!])]), three!]);
  let layer = 0;
  h = g.activation(g.conv(h, `decoder.layers.${layer++}`, latentChannels, decoder[0]!.channels), config.activation);
  layer++; // the activation
  for (const [level, { channels, blocks }] of decoder.entries()) {
    const final = level === decoder.length - 1;
    for (let i = 0; i < blocks; i++) h = block(g, h, `decoder.layers.${layer++}`, channels, config);
    if (!final) {
      h = g.upsample(h);
      layer++;
    }
    h = g.conv(h, `decoder.layers.${layer++}`, channels, final ? colours : channels);
  }
  h = g.add(g.node('Mul', [h, g.numbers([2], [])]), g.numbers([-1], [])); // 0..1 -> -1..1
  g.output('sample', h, ['batch', colours, 'height', 'width']);
  return g.finish(0);
}

/** AutoencoderTinyBlock: three convolutions, and the way around them. */
function block(g: Layers, x: Value, name: string, channels: number, { activation }: AutoencoderTinyConfig): Value {
  let h = g.activation(g.conv(x, `${name}.conv.0`, channels, channels), activation);
  h = g.activation(g.conv(h, `${name}.conv.2`, channels, channels), activation);
  return g.node('Relu', [g.add(g.conv(h, `${name}.conv.4`, channels, channels), x)]);
}
