// CLIP's text model, with and without projection. Source: transformers, modeling_clip.py, CLIPTextTransformer.

import type { ComputingPrecision } from '../../model-facts.js';
import { dataTypes } from '../onnx/graph-file.js';
import { tokenInputs } from '../onnx/patch.js';
import { type ClipLayerConfig, clipLayer } from './clip-layer.js';
import type { Value, WrittenGraph } from './graph-writer.js';
import { Layers } from './layers.js';
import type { Weights } from './weights.js';

export interface ClipTextConfig extends ClipLayerConfig {
  readonly vocabulary: number;
  readonly layers: number;
  /** The token whose place is pooled; undefined for the one of the highest id, as the first models have it. */
  readonly endToken: number | undefined;
  /** Width of the projection, where there is one, or that it changes nothing. */
  readonly projection: number | 'identity' | undefined;
}

/** What transformers masks with. */
const lowest = { fp32: -3.4028234663852886e38, fp16: -65504 } as const;

/**
 * input_ids [batch, tokens], and of textual inversions token_kept [batch, tokens, 1], 0 where a token's embedding gives way and
 * else 1, and token_vectors [batch, tokens, width], what comes there and else 0 -> last_hidden_state, hidden_states.0 to .layers, and
 * text_embeds of a model with a projection, else pooler_output.
 */
export function writeClipText(
  weights: Weights,
  config: ClipTextConfig,
  precision: ComputingPrecision,
  branched = false,
): WrittenGraph {
  const g = new Layers(weights, precision, branched);
  const { tokens, width, layers, epsilon, projection } = config;
  const hiddenShape = ['batch', tokens, width];

  const ids = g.input('input_ids', dataTypes.int64, ['batch', tokens]);
  const rows = g.rowsOf(ids);
  const table = g.parameter('text_model.embeddings.token_embedding.weight', [config.vocabulary, width]);
  const positions = g.parameter('text_model.embeddings.position_embedding.weight', [tokens, width]);
  const kept = g.floatInput(tokenInputs.kept, ['batch', tokens, 1]);
  const vectors = g.floatInput(tokenInputs.vectors, ['batch', tokens, width]);
  const own = g.add(g.node('Mul', [g.node('Gather', [table, ids]), kept]), vectors);
  const embedded = g.add(own, positions);
  const mask = g.numbers(
    Array.from({ length: tokens ** 2 }, (_, i) => (i % tokens > Math.floor(i / tokens) ? lowest[precision] : 0)),
    [tokens, tokens],
  );

  let h = g.node('Reshape', [embedded, g.integers([-1, width])]);
  const hidden = [h];
  for (let i = 0; i < layers; i++) {
    h = clipLayer(g, h, `text_model.encoder.layers.${i}`, config, rows, mask);
    hidden.push(h);
  }
  const last = g.layerNorm(h, 'text_model.final_layer_norm', width, epsilon);
  const inRows = (x: Value) => g.inRows(x, rows, [tokens, width]);
  // First, as exporters have it: optimum takes the pooled embedding by its place.
  const pooled = pool(g, inRows(last), ids, config);
  if (projection !== undefined) {
    const projected = projection === 'identity' ? pooled : project(g, pooled, width, projection);
    g.output('text_embeds', projected, ['batch', projection === 'identity' ? width : projection]);
  }
  g.output('last_hidden_state', inRows(last), hiddenShape);
  if (projection === undefined) g.output('pooler_output', pooled, ['batch', width]);
  for (const [i, each] of hidden.entries()) g.output(`hidden_states.${i}`, inRows(each), hiddenShape);
  weights.checkAllUsed(/position_ids$|^logit_scale$/);
  return g.finish(0);
}

/** The state at the end token, [batch, width]: the first of them where there are several. */
function pool(g: Layers, hidden: Value, ids: Value, { endToken }: ClipTextConfig): Value {
  const scores =
    endToken === undefined
      ? ids
      : g.node('Cast', [g.node('Equal', [ids, g.integers([endToken])])], { to: dataTypes.int32 });
  const place = g.node('ArgMax', [scores], { axis: 1, keepdims: 1 });
  return g.node('GatherND', [hidden, place], { batch_dims: 1 });
}

/** open_clip keeps the matrix the other way round, without a layer's name. */
function project(g: Layers, pooled: Value, width: number, projection: number): Value {
  if (!g.tensors.has('text_projection')) return g.linear(pooled, 'text_projection', width, projection);
  return g.node('Gemm', [pooled, g.parameter('text_projection', [width, projection])]);
}
