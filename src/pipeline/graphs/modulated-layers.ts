// What transformers that denoise are made of: tokens in rows, scaled, shifted and gated by the timestep (adaLN, Peebles & Xie 2023).
// Source: diffusers, normalization.py, attention.py and embeddings.py.

import type { ComputingPrecision } from '../../model-facts.js';
import type { Value } from './graph-writer.js';
import { Layers } from './layers.js';
import type { Weights } from './weights.js';

export interface TokenShape {
  readonly heads: number;
  /** Of a token. */
  readonly width: number;
}

/** What stands for `linear` in the name of a layer whose weights give the shift before the scale, as they do in the original layout. */
export const shiftFirst = 'linear_shift_first';
const epsilon = 1e-6;
/** Of the sinusoids of a timestep. */
const timeWidth = 256;

/** Tokens as [rows, tokens, width]; what they are modulated by as [rows, 1, width]. */
export class ModulatedLayers extends Layers {
  /** The count of rows, as `rowsOf` gives it. */
  rows: Value = '';

  constructor(
    weights: Weights,
    private readonly shape: TokenShape,
    precision: ComputingPrecision,
  ) {
    super(weights, precision);
  }

  /** A linear layer of [rows, tokens, from]. */
  tokens(x: Value, name: string, from: number, to: number): Value {
    const flat = this.linear(this.node('Reshape', [x, this.integers([-1, from])]), name, from, to);
    return this.inRows(flat, this.rows, [-1, to]);
  }

  /** Over the last axis, without weights: what follows is modulated. */
  norm(x: Value): Value {
    const one = this.numbers(Array(this.shape.width).fill(1));
    return this.node('LayerNormalization', [x, one], { axis: -1, epsilon: { float: epsilon } });
  }

  /** So many vectors of the timestep to scale, shift and gate with. @param time [rows, width] */
  modulation(time: Value, name: string, count: number): Value[] {
    const { width } = this.shape;
    return Array.from({ length: count }, (_, i) => {
      const own = this.tokenLinearPart(time, name, width, count * width, i * width, width);
      return this.node('Unsqueeze', [own, this.integers([1])]);
    });
  }

  modulated(normed: Value, scale: Value, shift: Value): Value {
    return this.add(this.node('Mul', [normed, this.add(scale, this.numbers([1], []))]), shift);
  }

  /** Of what no gate follows: diffusers' weights give the scale first (AdaLayerNormContinuous). */
  lastModulated(x: Value, name: string, time: Value): Value {
    const turned = this.tensors.has(`${name}.${shiftFirst}.weight`);
    const halves = this.modulation(time, `${name}.${turned ? shiftFirst : 'linear'}`, 2);
    const [scale, shift] = turned ? halves.reverse() : halves;
    return this.modulated(this.norm(x), scale!, shift!);
  }

  feedForward(x: Value, name: string): Value {
    const { width } = this.shape;
    const inner = this.activation(this.tokens(x, `${name}.net.0.proj`, width, 4 * width), 'gelu_tanh');
    return this.tokens(inner, `${name}.net.2`, 4 * width, width);
  }

  /** @returns [rows, tokens, heads, width of a head] */
  normedHeads(x: Value, name: string): Value {
    return this.rmsNorm(this.inHeads(x), name, this.shape.width / this.shape.heads, epsilon);
  }

  inHeads(x: Value): Value {
    const { width, heads } = this.shape;
    return this.node('Reshape', [x, this.integers([0, 0, heads, width / heads])]);
  }

  joinedHeads(x: Value): Value {
    return this.node('Reshape', [x, this.integers([0, 0, this.shape.width])]);
  }

  /** Two layers over a vector of a row. @returns [rows, width] */
  embedded(x: Value, name: string, from: number): Value {
    const { width } = this.shape;
    return this.linear(this.silu(this.linear(x, `${name}.linear_1`, from, width)), `${name}.linear_2`, width, width);
  }

  /** The same over the sinusoids of a number of each row. @param x [rows], float32 */
  embeddedNumber(x: Value, name: string): Value {
    return this.embedded(this.sinusoids(x, timeWidth, { cosineFirst: true, shift: 0 }), name, timeWidth);
  }
}
