// The encoder of T5 1.1. Source: transformers, modeling_t5.py, T5EncoderModel: norms without a mean, products without a scale, and
// positions as a bias that depends on the distance alone (Raffel et al. 2020, section 2.1).

import type { ComputingPrecision } from '../../model-facts.js';
import { dataTypes } from '../onnx/graph-file.js';
import { attention } from './attention.js';
import type { Value, WrittenGraph } from './graph-writer.js';
import { Layers } from './layers.js';
import type { Weights } from './weights.js';

export interface T5EncoderConfig {
  readonly vocabulary: number;
  readonly width: number;
  /** Of all heads together. */
  readonly attentionWidth: number;
  readonly heads: number;
  readonly innerWidth: number;
  readonly layers: number;
  readonly epsilon: number;
  /** How many kinds of distances there are, and from which on all are one. */
  readonly buckets: number;
  readonly maxDistance: number;
}

/** Of a text, padding included: no pipeline gives it more. */
const mostTokens = 512;

/** input_ids [batch, tokens], padding included, which is attended to -> last_hidden_state */
export function writeT5Encoder(weights: Weights, config: T5EncoderConfig, precision: ComputingPrecision): WrittenGraph {
  const g = new Layers(weights, precision);
  const { width, layers, epsilon } = config;
  const ids = g.input('input_ids', dataTypes.int64, ['batch', 'sequence']);
  const rows = g.rowsOf(ids);
  const shared = g.tensors.has('shared.weight') ? 'shared.weight' : 'encoder.embed_tokens.weight';
  const table = g.parameter(shared, [config.vocabulary, width]);
  const bias = positionBias(g, ids, config);

  let h = g.node('Reshape', [g.node('Gather', [table, ids]), g.integers([-1, width])]);
  for (let i = 0; i < layers; i++) h = block(g, h, `encoder.block.${i}`, config, rows, bias);
  const last = g.rmsNorm(h, 'encoder.final_layer_norm', width, epsilon);
  g.output('last_hidden_state', g.inRows(last, rows, [-1, width]), ['batch', 'sequence', width]);
  weights.checkAllUsed(/^encoder\.embed_tokens\.weight$/);
  return g.finish(0);
}

/** @param x [rows * tokens, width] */
function block(g: Layers, x: Value, name: string, config: T5EncoderConfig, rows: Value, bias: Value): Value {
  const { width, attentionWidth, heads, innerWidth, epsilon } = config;
  const [attend, feed] = [`${name}.layer.0`, `${name}.layer.1`];
  const own = g.rmsNorm(x, `${attend}.layer_norm`, width, epsilon);
  const [q, k, v] = ['q', 'k', 'v'].map((which) =>
    g.inRows(g.linear(own, `${attend}.SelfAttention.${which}`, width, attentionWidth), rows, [-1, attentionWidth]),
  );
  const mixed = attention(g, q!, k!, v!, { heads, width: attentionWidth, scale: 1 }, bias);
  const flat = g.node('Reshape', [mixed, g.integers([-1, attentionWidth])]);
  const h = g.add(x, g.linear(flat, `${attend}.SelfAttention.o`, attentionWidth, width));
  const normed = g.rmsNorm(h, `${feed}.layer_norm`, width, epsilon);
  const inner = (which: string) => g.linear(normed, `${feed}.DenseReluDense.${which}`, width, innerWidth);
  const gated = g.node('Mul', [g.activation(inner('wi_0'), 'gelu_tanh'), inner('wi_1')]);
  return g.add(h, g.linear(gated, `${feed}.DenseReluDense.wo`, innerWidth, width));
}

/** Of the first layer, for all: [1, heads, tokens, tokens]. */
function positionBias(g: Layers, ids: Value, { buckets, maxDistance, heads }: T5EncoderConfig): Value {
  const name = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight';
  const table = g.parameter(name, [buckets, heads]);
  const distances = Array.from({ length: 2 * mostTokens - 1 }, (_, i) => i - mostTokens + 1);
  const kinds = g.integers(distances.map((distance) => bucketOf(distance, buckets, maxDistance)));
  const count = g.node('Gather', [g.node('Shape', [ids]), g.integers([1], [])]);
  const places = g.node('Range', [g.integers([0], []), count, g.integers([1], [])]);
  const [keys, queries] = [
    [1, -1],
    [-1, 1],
  ].map((dims) => g.node('Reshape', [places, g.integers(dims)]));
  const fromStart = g.node('Add', [g.node('Sub', [keys!, queries!]), g.integers([mostTokens - 1], [])]);
  const biases = g.node('Gather', [table, g.node('Gather', [kinds, fromStart])]);
  return g.node('Unsqueeze', [g.node('Transpose', [biases], { perm: [2, 0, 1] }), g.integers([0])]);
}

/**
 * Half of the buckets are for what comes before, half for what comes after; of each half one is for each small distance, and the
 * others grow with its logarithm. In float32, as torch has it (T5Attention._relative_position_bucket).
 * @param distance of the token that is attended to from the one that attends
 */
export function bucketOf(distance: number, buckets: number, maxDistance: number): number {
  const { fround } = Math;
  const half = Math.floor(buckets / 2);
  const exact = Math.floor(half / 2);
  const size = Math.abs(distance);
  const after = distance > 0 ? half : 0;
  if (size < exact) return after + size;
  const logarithm = fround(Math.log(fround(size / exact)));
  const share = fround(logarithm / fround(Math.log(maxDistance / exact)));
  return after + Math.min(exact + Math.trunc(fround(share * (half - exact))), half - 1);
}
