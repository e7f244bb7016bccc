// The transformer between the UNet's residual blocks. Source: diffusers, transformer_2d.py and attention.py, BasicTransformerBlock.

import { attention, fusedAttention } from './attention.js';
import type { Value } from './graph-writer.js';
import type { Layers } from './layers.js';
import type { NormConfig } from './resnet.js';

export interface TransformerConfig {
  readonly channels: number;
  readonly heads: number;
  readonly layers: number;
  readonly groups: NormConfig['groups'];
  /** Of the prompt's tokens. */
  readonly contextWidth: number;
  /** Pixels attend to each other in one operator; in half precision all attention is one. */
  readonly fused: boolean;
}

/** The prompt, [rows, tokens, width], the same flat, and the count of rows. */
export interface Context {
  readonly tokens: Value;
  readonly rows: Value;
}

const groupEpsilon = 1e-6;
const layerEpsilon = 1e-5;

export function transformer(g: Layers, x: Value, name: string, config: TransformerConfig, context: Context): Value {
  const { channels, groups, layers } = config;
  // In the first Stable Diffusion the projections are 1 x 1 convolutions, which are linear layers of the tokens.
  let h = g.toTokens(g.groupNorm(x, `${name}.norm`, channels, groups, groupEpsilon), channels);
  h = g.linear(h, `${name}.proj_in`, channels, channels);
  for (let i = 0; i < layers; i++) h = block(g, h, `${name}.transformer_blocks.${i}`, config, context);
  h = g.linear(h, `${name}.proj_out`, channels, channels);
  return g.add(g.toPicture(h, x), x);
}

function block(g: Layers, x: Value, name: string, config: TransformerConfig, context: Context): Value {
  const { channels, contextWidth, fused } = config;
  const norm = (h: Value, which: string) => g.layerNorm(h, `${name}.${which}`, channels, layerEpsilon);

  const own = norm(x, 'norm1');
  const pixels = { tokens: own, rows: context.rows };
  let h = g.add(x, attend(g, own, pixels, `${name}.attn1`, { ...config, contextWidth: channels, fused }));
  const query = norm(h, 'norm2');
  h = g.add(h, attend(g, query, context, `${name}.attn2`, { ...config, contextWidth, fused: false }));
  return g.add(h, feedForward(g, norm(h, 'norm3'), `${name}.ff`, channels));
}

/** @param x [rows * tokens, channels] @returns the same shape */
function attend(
  g: Layers,
  x: Value,
  { tokens, rows }: Context,
  name: string,
  { channels, heads, contextWidth, fused }: Pick<TransformerConfig, 'channels' | 'heads' | 'contextWidth' | 'fused'>,
): Value {
  const project = (from: Value, which: string, width: number) =>
    g.inRows(g.linear(from, `${name}.${which}`, width, channels), rows, [-1, channels]);
  const [q, k, v] = [
    project(x, 'to_q', channels),
    project(tokens, 'to_k', contextWidth),
    project(tokens, 'to_v', contextWidth),
  ];
  // Half precision is for GPUs, where the one operator is the faster, and keeps the products in float32.
  const one = fused || g.precision === 'fp16';
  const mixed = (one ? fusedAttention : attention)(g, q, k, v, { heads, width: channels });
  return g.linear(g.node('Reshape', [mixed, g.integers([-1, channels])]), `${name}.to_out.0`, channels, channels);
}

/** GEGLU (Shazeer 2020): one half of a layer is the gate of the other. */
function feedForward(g: Layers, x: Value, name: string, channels: number): Value {
  const inner = 4 * channels;
  const half = (start: number) => g.linearPart(x, `${name}.net.0.proj`, channels, 2 * inner, start, inner);
  const gated = g.node('Mul', [half(0), g.activation(half(inner), 'gelu')]);
  return g.linear(gated, `${name}.net.2`, inner, channels);
}
