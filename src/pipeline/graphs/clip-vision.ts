// CLIP's vision model with its projection. Source: transformers, modeling_clip.py, CLIPVisionTransformer.

import type { ComputingPrecision } from '../../model-facts.js';
import { type ClipLayerConfig, clipLayer } from './clip-layer.js';
import type { WrittenGraph } from './graph-writer.js';
import { Layers } from './layers.js';
import type { Weights } from './weights.js';

export interface ClipVisionConfig extends Omit<ClipLayerConfig, 'tokens'> {
  readonly layers: number;
  /** Of a picture, and of the squares that become its tokens; pixels. */
  readonly side: number;
  readonly patch: number;
  readonly projection: number;
}

/** What the graph's one input is called. */
export const pictureInput = 'clip_input';
const colours = 3;

/**
 * clip_input [batch, 3, side, side], normalised -> image_embeds [batch, projection].
 * @param name of the vision model's weights, before `embeddings` and `encoder`
 */
export function writeClipVision(
  weights: Weights,
  name: string,
  config: ClipVisionConfig,
  precision: ComputingPrecision,
): WrittenGraph {
  const g = new Layers(weights, precision);
  const { side, patch, width, epsilon, projection } = config;
  const tokens = (side / patch) ** 2 + 1;
  const pictures = g.floatInput(pictureInput, ['batch', colours, side, side]);
  const rows = g.rowsOf(pictures);

  const conv = { kernel: patch, stride: patch, pads: [0, 0, 0, 0] };
  const squares = g.conv(pictures, `${name}.embeddings.patch_embedding`, colours, width, conv);
  const flat = g.node('Reshape', [squares, g.integers([0, width, -1])]);
  const ofSquares = g.node('Transpose', [flat], { perm: [0, 2, 1] });
  const first = g.parameter(`${name}.embeddings.class_embedding`, [width]);
  const shape = g.node('Concat', [rows, g.integers([1, width])], { axis: 0 });
  const all = g.node('Concat', [g.node('Expand', [first, shape]), ofSquares], { axis: 1 });
  const placed = g.add(all, g.parameter(`${name}.embeddings.position_embedding.weight`, [tokens, width]));

  const normed = g.layerNorm(placed, `${name}.pre_layrnorm`, width, epsilon); // its name in every checkpoint
  let h = g.node('Reshape', [normed, g.integers([-1, width])]);
  for (let i = 0; i < config.layers; i++) {
    h = clipLayer(g, h, `${name}.encoder.layers.${i}`, { ...config, tokens }, rows);
  }
  const pooled = g.node('Gather', [g.inRows(h, rows, [tokens, width]), g.integers([0], [])], { axis: 1 });
  const last = g.layerNorm(pooled, `${name}.post_layernorm`, width, epsilon);
  g.output('image_embeds', g.linear(last, 'visual_projection', width, projection), ['batch', projection]);
  return g.finish(0);
}
