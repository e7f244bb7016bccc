// A Stable Diffusion 1.x folder with random weights, of any width. Topologies: diffusers, unet_2d_condition.py and
// autoencoder_kl.py; transformers, modeling_clip.py. At the widths of SD 1.5 its UNet has the same 859.5 million parameters.

import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataTypes } from '../../src/pipeline/onnx/graph-file.js';
import { GraphBuilder } from './graph-builder.js';

export interface Dimensions {
  /** Channels of the UNet's four levels. */
  readonly unet: readonly [number, number, number, number];
  readonly heads: number;
  readonly groups: number;
  /** Width and layers of the text encoder. */
  readonly text: readonly [width: number, layers: number];
  /** Channels of the VAE's four levels. */
  readonly vae: readonly [number, number, number, number];
}

export const stableDiffusion15: Dimensions = {
  unet: [320, 640, 1280, 1280],
  heads: 8,
  groups: 32,
  text: [768, 12],
  vae: [128, 256, 512, 512],
};

/** @returns the UNet's parameters */
export function writeStableDiffusion(folder: string, dimensions: Dimensions): number {
  mkdirSync(folder, { recursive: true });
  textEncoder(folder, dimensions);
  const parameters = unet(folder, dimensions);
  vaeEncoder(folder, dimensions);
  vaeDecoder(folder, dimensions);
  const reference = fileURLToPath(new URL('../../test/reference/families/sd', import.meta.url));
  for (const part of ['tokenizer/vocab.json', 'tokenizer/merges.txt', 'scheduler', 'model_index.json']) {
    cpSync(join(reference, part), join(folder, part), { recursive: true });
  }
  writeFileSync(
    join(folder, 'img2img.json'),
    JSON.stringify({ size: { native: 256, min: 64, multiple: 64, max: 768 } }),
  );
  return parameters;
}

/** Layers that all graphs are made of. Values are [rows, channels, height, width] or [rows, tokens, width]. */
class Layers extends GraphBuilder {
  conv(x: string, from: number, to: number, kernel = 3, stride = 1): string {
    const weights = this.weight([to, from, kernel, kernel], 1 / Math.sqrt(from * kernel * kernel));
    const pad = (kernel - 1) / 2;
    const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad] };
    return this.node('Conv', [x, weights, this.weight([to], 0.01)], attributes);
  }

  linear(x: string, from: number, to: number, bias = true): string {
    const product = this.node('MatMul', [x, this.weight([from, to], 1 / Math.sqrt(from))]);
    return bias ? this.node('Add', [product, this.weight([to], 0.01)]) : product;
  }

  groupNorm(x: string, channels: number, groups: number): string {
    const grouped = this.node('Reshape', [x, this.integers([0, groups, -1])]);
    const ones = this.floats(Array(groups).fill(1));
    const zeros = this.floats(Array(groups).fill(0));
    const normed = this.node('InstanceNormalization', [grouped, ones, zeros], { epsilon: 1e-5 });
    const back = this.node('Reshape', [normed, this.node('Shape', [x])]);
    const scaled = this.node('Mul', [back, this.weight([channels, 1, 1], 1)]);
    return this.node('Add', [scaled, this.weight([channels, 1, 1], 0.01)]);
  }

  layerNorm(x: string, width: number): string {
    const inputs = [x, this.weight([width], 1), this.weight([width], 0.01)];
    return this.node('LayerNormalization', inputs, { axis: -1, epsilon: 1e-5 });
  }

  silu(x: string): string {
    return this.node('Mul', [x, this.node('Sigmoid', [x])]);
  }

  /** @param mask is added to the scores */
  attention(
    x: string,
    context: string,
    width: number,
    contextWidth: number,
    heads: number,
    bias: boolean,
    mask?: string,
  ) {
    const size = width / heads;
    const split = (value: string, perm: readonly number[]) =>
      this.node('Transpose', [this.node('Reshape', [value, this.integers([0, -1, heads, size])])], { perm });
    const query = split(this.linear(x, width, width, bias), [0, 2, 1, 3]);
    const key = split(this.linear(context, contextWidth, width, bias), [0, 2, 3, 1]);
    const value = split(this.linear(context, contextWidth, width, bias), [0, 2, 1, 3]);
    const scores = this.node('Mul', [this.node('MatMul', [query, key]), this.floats([1 / Math.sqrt(size)])]);
    const masked = mask === undefined ? scores : this.node('Add', [scores, mask]);
    const mixed = this.node('MatMul', [this.node('Softmax', [masked], { axis: -1 }), value]);
    const joined = this.node('Transpose', [mixed], { perm: [0, 2, 1, 3] });
    return this.linear(this.node('Reshape', [joined, this.integers([0, -1, width])]), width, width);
  }

  /** @param time the timestep's embedding, `timeWidth` wide; the VAE's blocks have none */
  resnet(x: string, from: number, to: number, groups: number, time?: string, timeWidth = 0): string {
    let h = this.conv(this.silu(this.groupNorm(x, from, groups)), from, to);
    if (time !== undefined) {
      const projected = this.linear(this.silu(time), timeWidth, to);
      h = this.node('Add', [h, this.node('Unsqueeze', [projected, this.integers([2, 3])])]);
    }
    h = this.conv(this.silu(this.groupNorm(h, to, groups)), to, to);
    return this.node('Add', [from === to ? x : this.conv(x, from, to, 1), h]);
  }

  upsample(x: string, channels: number): string {
    const scales = this.floats([1, 1, 2, 2]);
    return this.conv(this.node('Resize', [x, '', scales]), channels, channels);
  }

  /** [rows, channels, height, width] -> [rows, height * width, channels] */
  toTokens(x: string, channels: number): string {
    return this.node('Transpose', [this.node('Reshape', [x, this.integers([0, channels, -1])])], { perm: [0, 2, 1] });
  }

  toPicture(tokens: string, like: string): string {
    return this.node('Reshape', [this.node('Transpose', [tokens], { perm: [0, 2, 1] }), this.node('Shape', [like])]);
  }
}

/** Transformer2DModel with one BasicTransformerBlock: self-attention, attention to the prompt, a GEGLU. */
function transformer(g: Layers, x: string, width: number, { heads, groups, text }: Dimensions): string {
  let h = g.toTokens(g.conv(g.groupNorm(x, width, groups), width, width, 1), width);
  const own = g.layerNorm(h, width);
  h = g.node('Add', [h, g.attention(own, own, width, width, heads, false)]);
  const cross = g.attention(g.layerNorm(h, width), 'encoder_hidden_states', width, text[0], heads, false);
  h = g.node('Add', [h, cross]);
  const inner = 4 * width;
  const wide = g.linear(g.layerNorm(h, width), width, 2 * inner);
  const half = (from: number) =>
    g.node('Slice', [wide, g.integers([from]), g.integers([from + inner]), g.integers([2])]);
  const gate = half(inner);
  const erf = g.node('Erf', [g.node('Mul', [gate, g.floats([Math.SQRT1_2])])]);
  const gelu = g.node('Mul', [gate, g.node('Mul', [g.node('Add', [erf, g.floats([1])]), g.floats([0.5])])]);
  h = g.node('Add', [h, g.linear(g.node('Mul', [half(0), gelu]), inner, width)]);
  return g.node('Add', [x, g.conv(g.toPicture(h, x), width, width, 1)]);
}

function unet(folder: string, dimensions: Dimensions): number {
  const { unet: levels, groups, text } = dimensions;
  const g = new Layers(join(folder, 'unet/model.onnx'));
  const sample = g.input('sample', ['batch', 4, 'height', 'width']);
  const timestep = g.input('timestep', []); // a scalar, as optimum-onnx exports it
  g.input('encoder_hidden_states', ['batch', 'sequence', text[0]]);
  const [first] = levels;
  const timeWidth = 4 * first;
  const time = timeEmbedding(g, timestep, sample, first, timeWidth);

  let x = g.conv(sample, 4, first);
  let width: number = first;
  const skips: { x: string; width: number }[] = [{ x, width }];
  for (const [level, channels] of levels.entries()) {
    for (let layer = 0; layer < 2; layer++) {
      x = g.resnet(x, width, channels, groups, time, timeWidth);
      width = channels;
      if (level < 3) x = transformer(g, x, width, dimensions);
      skips.push({ x, width });
    }
    if (level === 3) break;
    x = g.conv(x, width, width, 3, 2);
    skips.push({ x, width });
  }
  x = g.resnet(x, width, width, groups, time, timeWidth);
  x = transformer(g, x, width, dimensions);
  x = g.resnet(x, width, width, groups, time, timeWidth);
  for (const [up, channels] of [...levels].reverse().entries()) {
    for (let layer = 0; layer < 3; layer++) {
      const skip = skips.pop()!;
      x = g.node('Concat', [x, skip.x], { axis: 1 });
      x = g.resnet(x, width + skip.width, channels, groups, time, timeWidth);
      width = channels;
      if (up > 0) x = transformer(g, x, width, dimensions);
    }
    if (up < 3) x = g.upsample(x, width);
  }
  g.finish(g.conv(g.silu(g.groupNorm(x, width, groups)), width, 4), 'out_sample', ['batch', 4, 'height', 'width']);
  const config = { sample_size: 64, block_out_channels: levels, cross_attention_dim: text[0] };
  writeFileSync(join(folder, 'unet/config.json'), JSON.stringify(config));
  return g.parameters;
}

/** get_time_embed and TimestepEmbedding: [cos, sin] of the timestep, then two layers. */
function timeEmbedding(g: Layers, timestep: string, sample: string, width: number, timeWidth: number): string {
  const rows = g.node('Gather', [g.node('Shape', [sample]), g.integers([0])]);
  const perRow = g.node('Expand', [g.node('Unsqueeze', [timestep, g.integers([0])]), rows]);
  const frequencies = Array.from({ length: width / 2 }, (_, i) => Math.exp((-Math.log(10000) * i) / (width / 2)));
  const column = g.node('Unsqueeze', [perRow, g.integers([1])]);
  const angles = g.node('Mul', [column, g.floats(frequencies, [1, width / 2])]);
  const embedding = g.node('Concat', [g.node('Cos', [angles]), g.node('Sin', [angles])], { axis: 1 });
  return g.linear(g.silu(g.linear(embedding, width, timeWidth)), timeWidth, timeWidth);
}

function vaeMiddle(g: Layers, input: string, width: number, groups: number): string {
  let x = g.resnet(input, width, width, groups);
  const tokens = g.toTokens(g.groupNorm(x, width, groups), width);
  x = g.node('Add', [x, g.toPicture(g.attention(tokens, tokens, width, width, 1, true), x)]);
  return g.resnet(x, width, width, groups);
}

function vaeEncoder(folder: string, { vae: levels, groups }: Dimensions): void {
  const g = new Layers(join(folder, 'vae_encoder/model.onnx'));
  let x = g.conv(g.input('sample', ['batch', 3, 'height', 'width']), 3, levels[0]);
  let width: number = levels[0];
  for (const [level, channels] of levels.entries()) {
    for (let layer = 0; layer < 2; layer++) {
      x = g.resnet(x, width, channels, groups);
      width = channels;
    }
    if (level < 3) x = g.conv(x, width, width, 3, 2);
  }
  x = g.silu(g.groupNorm(vaeMiddle(g, x, width, groups), width, groups));
  x = g.conv(g.conv(x, width, 8), 8, 8, 1);
  g.finish(x, 'latent_parameters', ['batch', 8, 'height', 'width']);
  writeFileSync(
    join(folder, 'vae_encoder/config.json'),
    JSON.stringify({ block_out_channels: levels, scaling_factor: 0.18215 }),
  );
}

function vaeDecoder(folder: string, { vae: levels, groups }: Dimensions): void {
  const g = new Layers(join(folder, 'vae_decoder/model.onnx'));
  let width: number = levels[3];
  let x = g.conv(g.input('latent_sample', ['batch', 4, 'height', 'width']), 4, 4, 1);
  x = vaeMiddle(g, g.conv(x, 4, width), width, groups);
  for (const [up, channels] of [...levels].reverse().entries()) {
    for (let layer = 0; layer < 3; layer++) {
      x = g.resnet(x, width, channels, groups);
      width = channels;
    }
    if (up < 3) x = g.upsample(x, width);
  }
  x = g.conv(g.silu(g.groupNorm(x, width, groups)), width, 3);
  g.finish(x, 'sample', ['batch', 3, 'height', 'width']);
}

function textEncoder(folder: string, { text: [width, layers] }: Dimensions): void {
  const tokens = 77;
  const g = new Layers(join(folder, 'text_encoder/model.onnx'));
  const ids = g.input('input_ids', ['batch', 'sequence'], dataTypes.int64);
  let x = g.node('Gather', [g.weight([49408, width], 0.02), ids]);
  x = g.node('Add', [x, g.weight([1, tokens, width], 0.02)]);
  const causal = Array.from({ length: tokens * tokens }, (_, i) => (i % tokens > Math.floor(i / tokens) ? -1e9 : 0));
  const mask = g.floats(causal, [1, 1, tokens, tokens]);
  for (let layer = 0; layer < layers; layer++) {
    const normed = g.layerNorm(x, width);
    x = g.node('Add', [x, g.attention(normed, normed, width, width, Math.max(1, width / 64), true, mask)]);
    const wide = g.linear(g.layerNorm(x, width), width, 4 * width);
    const gated = g.node('Mul', [wide, g.node('Sigmoid', [g.node('Mul', [wide, g.floats([1.702])])])]);
    x = g.node('Add', [x, g.linear(gated, 4 * width, width)]);
  }
  g.finish(g.layerNorm(x, width), 'last_hidden_state', ['batch', 'sequence', width]);
  const config = { max_position_embeddings: tokens, num_hidden_layers: layers };
  writeFileSync(join(folder, 'text_encoder/config.json'), JSON.stringify(config));
}
