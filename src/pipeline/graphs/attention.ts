// Attention (Vaswani et al. 2017), written out or as onnxruntime's fused operator.

import type { Value } from './graph-writer.js';
import type { Layers } from './layers.js';

export interface AttentionShape {
  readonly heads: number;
  /** Of all heads together. */
  readonly width: number;
  /** Of the products; the root of a head's width below 1 if absent. */
  readonly scale?: number;
}

/**
 * One operator, which never holds a matrix of all queries by all keys: faster for the thousands of tokens of a picture.
 * @param query [rows, queries, width], and keys and values of the same width
 * @returns [rows, queries, width]
 */
export function fusedAttention(g: Layers, q: Value, k: Value, v: Value, { heads }: AttentionShape): Value {
  return g.node('MultiHeadAttention', [q, k, v], { num_heads: heads });
}

/**
 * The same from single operators: faster on a CPU where there are few keys, as of a prompt.
 * @param mask added to the products, [queries, keys], or [1, heads, queries, keys]
 */
export function attention(
  g: Layers,
  q: Value,
  k: Value,
  v: Value,
  { heads, width, scale: factor = (width / heads) ** -0.5 }: AttentionShape,
  mask?: Value,
): Value {
  const split = (x: Value, perm: readonly number[]) =>
    g.node('Transpose', [g.node('Reshape', [x, g.integers([0, 0, heads, width / heads])])], { perm });
  const scale = (x: Value) => (factor === 1 ? x : g.node('Mul', [x, g.numbers([factor], [])]));
  const product = (query: Value) => g.node('MatMul', [split(query, [0, 2, 1, 3]), split(k, [0, 2, 3, 1])]);
  // Half floats end at 65,504, which products may pass that come back below it by the scale.
  const scaled = g.precision === 'fp16' ? product(scale(q)) : scale(product(q));
  const shares = g.node('Softmax', [mask ? g.add(scaled, mask) : scaled], { axis: -1 });
  const mixed = g.node('MatMul', [shares, split(v, [0, 2, 1, 3])]);
  return g.node('Reshape', [g.node('Transpose', [mixed], { perm: [0, 2, 1, 3] }), g.integers([0, 0, width])]);
}
