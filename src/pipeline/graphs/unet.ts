// The UNet of Stable Diffusion 1, 2 and XL. Source: diffusers, unet_2d_condition.py and unet_2d_blocks.py; Podell et al. 2023 for
// the added embeddings, Luo et al. 2023 for the guidance's. It takes one timestep for each row.

import type { ComputingPrecision } from '../../model-facts.js';
import { dataTypes } from '../onnx/graph-file.js';
import type { Value, WrittenGraph } from './graph-writer.js';
import { Layers } from './layers.js';
import { resnetBlock, type TimeEmbedding } from './resnet.js';
import { type Context, transformer } from './transformer.js';
import type { Weights } from './weights.js';

export interface UNetLevel {
  readonly channels: number;
  readonly resnets: number;
  /** Of a transformer after each resnet; 0 for none. */
  readonly transformerLayers: number;
  readonly heads: number;
}

export interface UNetConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  /** From the picture's own sides down; each halves them for the next. */
  readonly levels: readonly UNetLevel[];
  /** The levels on the way up, from the smallest: an UNet may have transformers on one way only. */
  readonly upTransformerLayers: readonly number[];
  /** Between both ways: undefined for no middle at all. */
  readonly middle: { readonly transformerLayers: number; readonly heads: number } | undefined;
  readonly contextWidth: number;
  readonly groups: number;
  readonly epsilon: number;
  /** Of the sinusoids of the timestep. */
  readonly cosineFirst: boolean;
  readonly frequencyShift: number;
  /** SDXL: width of the sinusoids of each time id, and of all added embeddings together. */
  readonly added: { readonly timeWidth: number; readonly width: number } | undefined;
  /** Latent consistency models: width of the guidance's embedding. */
  readonly guidanceWidth: number | undefined;
  /** Side of the latents that the model was made for. */
  readonly sampleSize: number;
}

/** From this many tokens on the fused operator is the faster one, on a CPU. */
const fusedFrom = 1024;

/** @throws ModelFolderError when the weights are not those of the config */
export function writeUNet(weights: Weights, config: UNetConfig, precision: ComputingPrecision): WrittenGraph {
  const g = new Layers(weights, precision);
  const { levels, groups, epsilon, contextWidth, sampleSize } = config;
  const norm = { groups, epsilon };
  const last = levels.length - 1;

  const sample = g.floatInput('sample', ['batch', config.inChannels, 'height', 'width']);
  const timestep = g.input('timestep', dataTypes.float32, ['batch']);
  const prompt = g.floatInput('encoder_hidden_states', ['batch', 'sequence', contextWidth]);
  const context = { tokens: g.node('Reshape', [prompt, g.integers([-1, contextWidth])]), rows: g.rowsOf(sample) };
  const time = timeEmbedding(g, timestep, context, config);
  const attend = (x: Value, name: string, level: number, layers: number, heads = levels[level]!.heads) => {
    if (layers === 0) return x;
    const fused = (sampleSize / 2 ** level) ** 2 >= fusedFrom;
    const { channels } = levels[level]!;
    return transformer(g, x, name, { channels, heads, layers, groups, contextWidth, fused }, context);
  };

  let h = g.conv(sample, 'conv_in', config.inChannels, levels[0]!.channels);
  const skips = [{ value: h, channels: levels[0]!.channels }];
  let from = levels[0]!.channels;
  for (const [level, { channels, resnets, transformerLayers }] of levels.entries()) {
    const name = `down_blocks.${level}`;
    for (let i = 0; i < resnets; i++) {
      h = resnetBlock(g, h, `${name}.resnets.${i}`, from, channels, norm, time);
      h = attend(h, `${name}.attentions.${i}`, level, transformerLayers);
      skips.push({ value: h, channels });
      from = channels;
    }
    if (level === last) continue;
    h = g.conv(h, `${name}.downsamplers.0.conv`, channels, channels, { stride: 2 });
    skips.push({ value: h, channels });
  }

  if (config.middle) {
    h = resnetBlock(g, h, 'mid_block.resnets.0', from, from, norm, time);
    h = attend(h, 'mid_block.attentions.0', last, config.middle.transformerLayers, config.middle.heads);
    h = resnetBlock(g, h, 'mid_block.resnets.1', from, from, norm, time);
  }

  for (let up = 0; up <= last; up++) {
    const level = last - up;
    const { channels, resnets } = levels[level]!;
    const name = `up_blocks.${up}`;
    for (let i = 0; i <= resnets; i++) {
      const skip = skips.pop()!;
      const joined = g.node('Concat', [h, skip.value], { axis: 1 });
      h = resnetBlock(g, joined, `${name}.resnets.${i}`, from + skip.channels, channels, norm, time);
      h = attend(h, `${name}.attentions.${i}`, level, config.upTransformerLayers[up]!);
      from = channels;
    }
    if (level > 0) h = g.conv(g.upsample(h), `${name}.upsamplers.0.conv`, channels, channels);
  }

  h = g.silu(g.groupNorm(h, 'conv_norm_out', from, groups, epsilon));
  g.output('out_sample', g.conv(h, 'conv_out', from, config.outChannels), [
    'batch',
    config.outChannels,
    'height',
    'width',
  ]);
  weights.checkAllUsed(/^$/);
  return g.finish(last);
}

/** Of the timestep, and of whatever else a family adds to it; after the activation that each residual block begins with. */
function timeEmbedding(g: Layers, timestep: Value, { rows }: Context, config: UNetConfig): TimeEmbedding {
  const { cosineFirst, frequencyShift: shift, added, guidanceWidth } = config;
  const first = config.levels[0]!.channels;
  const width = 4 * first;
  const embed = (x: Value, name: string, from: number) =>
    g.linear(g.silu(g.linear(x, `${name}.linear_1`, from, width)), `${name}.linear_2`, width, width);

  let sinusoids = g.sinusoids(timestep, first, { cosineFirst, shift });
  if (guidanceWidth !== undefined) {
    const guidance = g.floatInput('timestep_cond', ['batch', guidanceWidth]);
    sinusoids = g.add(sinusoids, g.linear(guidance, 'time_embedding.cond_proj', guidanceWidth, first));
  }
  let embedding = embed(sinusoids, 'time_embedding', first);
  if (added) {
    const pooled = g.floatInput('text_embeds', ['batch', 'pooled']);
    const ids = g.input('time_ids', dataTypes.float32, ['batch', 'ids']);
    const times = g.inRows(g.sinusoids(ids, added.timeWidth, { cosineFirst, shift }), rows, [-1]);
    const joined = g.node('Concat', [pooled, times], { axis: 1 });
    embedding = g.add(embedding, embed(joined, 'add_embedding', added.width));
  }
  return { value: g.silu(embedding), width };
}
