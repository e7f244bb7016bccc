// One layer of CLIP's encoders, of texts and of pictures. Source: transformers, modeling_clip.py, CLIPEncoderLayer.

import { attention } from './attention.js';
import type { Value } from './graph-writer.js';
import type { Activation, Layers } from './layers.js';

export interface ClipLayerConfig {
  readonly tokens: number;
  readonly width: number;
  readonly innerWidth: number;
  readonly heads: number;
  readonly activation: Activation;
  readonly epsilon: number;
}

/**
 * @param x [rows * tokens, width]
 * @param rows as `rowsOf` gives it
 * @param mask added to the products of tokens, [tokens, tokens]
 */
export function clipLayer(
  g: Layers,
  x: Value,
  name: string,
  { width, innerWidth, heads, tokens, activation, epsilon }: ClipLayerConfig,
  rows: Value,
  mask?: Value,
): Value {
  const own = g.layerNorm(x, `${name}.layer_norm1`, width, epsilon);
  const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((which) =>
    g.inRows(g.tokenLinear(own, `${name}.self_attn.${which}`, width, width), rows, [tokens, width]),
  );
  const mixed = attention(g, q!, k!, v!, { heads, width }, mask);
  const flat = g.node('Reshape', [mixed, g.integers([-1, width])]);
  const h = g.add(x, g.tokenLinear(flat, `${name}.self_attn.out_proj`, width, width));
  const inner = g.tokenLinear(
    g.layerNorm(h, `${name}.layer_norm2`, width, epsilon),
    `${name}.mlp.fc1`,
    width,
    innerWidth,
  );
  return g.add(h, g.tokenLinear(g.activation(inner, activation), `${name}.mlp.fc2`, innerWidth, width));
}
