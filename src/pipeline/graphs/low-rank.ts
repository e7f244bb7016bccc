// Changes of a weight, written into the graph as products of small matrices. onnxruntime computes them once, when it loads the
// graph, so that a changed model runs as fast as an unchanged one and nothing is written to disk.
// Sources: Hu et al. 2021 (LoRA); lycoris-lora, functional/locon.py, loha.py and lokr.py (LoCon, LoHa, LoKr).

import type { TensorPlace } from '../safetensors/header.js';
import type { GraphWriter, Value } from './graph-writer.js';

/** Two matrices whose product has the weight's shape; with a core it is a Tucker decomposition. */
export interface Factors {
  /** [to, rank], or [rank, to] where it lies transposed. */
  readonly up: TensorPlace;
  readonly upTransposed?: boolean;
  /** [rank, from * kernel * kernel]; [rank, from] beside a core */
  readonly down: TensorPlace;
  /** [rank, rank, kernel, kernel] */
  readonly core?: TensorPlace;
}

/** One side of a Kronecker product. */
export type Side = Factors | { readonly whole: TensorPlace };

/**
 * weight += scale * product of the factors, which is taken element by element where there are two pairs (LoHa); or scale * the
 * Kronecker product of two sides (LoKr): of [a, b] and [c, d, kernel, kernel] it is [a * c, b * d, kernel, kernel].
 */
export interface WeightChange {
  readonly scale: number;
  readonly factors: readonly Factors[];
  readonly kronecker?: readonly [left: Side, right: Side] | undefined;
}

export interface RowRange {
  readonly start: number;
  readonly count: number;
}

/** By the weight's name. */
export type WeightChanges = ReadonlyMap<string, readonly WeightChange[]>;

/**
 * @param weight a value of this shape, or of some of its rows, in float32
 * @param rows which of them; all if absent
 */
export function changed(
  g: GraphWriter,
  weight: Value,
  shape: readonly number[],
  { scale, factors, kronecker: sides }: WeightChange,
  rows?: RowRange,
): Value {
  const [only] = factors;
  if (factors.length === 1 && only && !only.core && shape.length === 2) return sum(g, weight, shape, scale, only, rows);
  const to = shape[0]!;
  const from = shape[1]!;
  const kernel = shape.slice(2).reduce((a, b) => a * b, 1);
  const whole = sides
    ? kronecker(g, sides, to, from, kernel)
    : factors.map((each) => multiplied(g, each, to, from, kernel)).reduce((a, b) => g.node('Mul', [a, b]));
  const scaled = g.node('Mul', [whole, g.floats([scale], [])]);
  const [start, end] = rows ? [rows.start, rows.start + rows.count] : [0, to];
  const part = rows ? g.node('Slice', [scaled, g.integers([start]), g.integers([end]), g.integers([0])]) : scaled;
  const shaped = shape.length === 2 ? part : g.node('Reshape', [part, g.integers([end - start, ...shape.slice(1)])]);
  return g.node('Add', [weight, shaped]);
}

/** The common case, a LoRA of a matrix, in one operator: weight + scale * up * down. */
function sum(
  g: GraphWriter,
  weight: Value,
  [to, from]: readonly number[],
  scale: number,
  { up, upTransposed, down }: Factors,
  rows?: RowRange,
): Value {
  const rank = down.shape[0]!;
  const whole = factor(g, up, upTransposed ? [rank, to!] : [to!, rank]);
  const ends = rows && [rows.start, rows.start + rows.count, upTransposed ? 1 : 0].map((one) => g.integers([one]));
  const left = ends ? g.node('Slice', [whole, ...ends]) : whole;
  const attributes = { alpha: { float: scale }, transA: upTransposed ? 1 : 0 };
  return g.node('Gemm', [left, factor(g, down, [rank, from!]), weight], attributes);
}

/** Rows and columns of a side; where its kernel is part of the columns, that is. */
export function sidesOf(side: Side): readonly [rows: number, columns: number] {
  const count = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);
  if ('whole' in side) return [side.whole.shape[0]!, count(side.whole.shape.slice(1))];
  const { up, upTransposed, down, core } = side;
  return [up.shape[upTransposed ? 1 : 0]!, count(down.shape.slice(1)) * (core ? count(core.shape.slice(2)) : 1)];
}

/** @returns [to, from * kernel] */
function kronecker(
  g: GraphWriter,
  [left, right]: readonly [Side, Side],
  to: number,
  from: number,
  kernel: number,
): Value {
  const [[a, b], [c, d]] = [sidesOf(left), sidesOf(right)];
  const spread = (side: Side, [rows, columns]: readonly [number, number], own: number, dims: readonly number[]) => {
    const value =
      'whole' in side ? factor(g, side.whole, [rows, columns]) : multiplied(g, side, rows, columns / own, own);
    return g.node('Reshape', [value, g.integers(dims)]);
  };
  const all = g.node('Mul', [spread(left, [a, b], 1, [a, 1, b, 1]), spread(right, [c, d], kernel, [1, c, 1, d])]);
  return g.node('Reshape', [all, g.integers([to, from * kernel])]);
}

/** @returns [to, from * kernel] */
const multiplied = (g: GraphWriter, each: Factors, to: number, from: number, kernel: number) =>
  each.core ? tucker(g, each, to, from, kernel) : product(g, each, to, from * kernel);

/** @returns [to, from] */
function product(g: GraphWriter, { up, upTransposed, down }: Factors, to: number, from: number): Value {
  const rank = down.shape[0]!;
  const left = factor(g, up, upTransposed ? [rank, to] : [to, rank]);
  return g.node('Gemm', [left, factor(g, down, [rank, from])], { transA: upTransposed ? 1 : 0 });
}

/** @returns [to, from * kernel] */
function tucker(
  g: GraphWriter,
  { up, upTransposed, down, core }: Factors,
  to: number,
  from: number,
  kernel: number,
): Value {
  const rank = down.shape[0]!;
  const left = upTransposed
    ? g.node('Transpose', [factor(g, up, [rank, to])], { perm: [1, 0] })
    : factor(g, up, [to, rank]);
  const perPlace = g.node('Transpose', [factor(g, core!, [rank, rank, kernel])], { perm: [2, 0, 1] });
  const inner = g.node('MatMul', [perPlace, factor(g, down, [rank, from])]); // [kernel, rank, from]
  const whole = g.node('Transpose', [g.node('MatMul', [left, inner])], { perm: [1, 2, 0] });
  return g.node('Reshape', [whole, g.integers([to, from * kernel])]);
}

/** A tensor of the LoRA's file; where it lies is its name, as two files may use the same keys. */
const factor = (g: GraphWriter, place: TensorPlace, shape: readonly number[]) =>
  g.weight(`${place.file}:${place.offset}`, { ...place, shape }, 'fp32');
