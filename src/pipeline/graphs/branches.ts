// LoRAs beside the weights instead of in them: y = x W^T + (x down^T) up, with the small matrices as inputs that each row has for
// itself. So rows of different LoRAs share a call, and a scale costs nothing. Source: Hu et al. 2021, equation 3.
// Without LoRAs the inputs are empty, and what is added to a layer is its bias alone: the same bytes as of a graph without branches.
// onnxruntime takes longer to load a graph of more nodes: hence one Split for all layers, and products without transposed results.

import { dataTypes } from '../onnx/graph-file.js';
import type { BranchLayout, BranchPlace, GraphWriter, Value } from './graph-writer.js';
import type { RowRange } from './low-rank.js';

/**
 * downs [rows, parts, rank, width] and ups [rows, parts * rank, width], each layer's beside each other; [1, 1, 0, width] and
 * [1, 0, width] where no row has any. A part is a product of its own, always of one rank, so that what a row gets does not depend
 * on how many parts its neighbours have.
 */
export const branchInputs = { downs: 'lora_downs', ups: 'lora_ups' } as const;

interface Piece {
  readonly value: Value;
  readonly size: number;
}

export class Branches {
  private readonly places = new Map<string, BranchPlace>();
  private readonly downs: Piece[] = [];
  private readonly ups: Piece[] = [];
  /** What several layers take is written once. */
  private readonly written = new Map<string, Value>();
  private readonly rows: Value;
  private readonly innerShape: Value;

  constructor(private readonly g: GraphWriter) {
    g.input(branchInputs.downs, dataTypes.float32, ['lora_rows', 'lora_parts', 'lora_rank', 'lora_downs_width']);
    g.input(branchInputs.ups, dataTypes.float32, ['lora_rows', 'lora_ranks', 'lora_ups_width']);
    const shape = g.node('Shape', [branchInputs.ups]);
    this.rows = g.node('Slice', [shape, g.integers([0]), g.integers([1])]);
    const ranks = g.node('Slice', [shape, g.integers([1]), g.integers([2])]);
    const none = g.node('Equal', [ranks, g.integers([0])]);
    const some = g.node('Concat', [this.rows, ranks, g.integers([-1])], { axis: 0 });
    this.innerShape = g.node('Where', [none, g.integers([1, 0, 1]), some]);
  }

  /**
   * What the rows' LoRAs add to a layer.
   * @param x [rows * tokens, from]
   * @param outputs which of the layer's: all of one layer are to be asked for in their order
   * @returns [rows * tokens, outputs], or [1, outputs] of zeros where no row has any
   */
  of(x: Value, weight: string, from: number, to: number, { start, count }: RowRange = { start: 0, count: to }): Value {
    const { g } = this;
    const inner = this.once(`inner ${weight}`, () => this.inner(x, weight, from, to));
    const up = `${weight}:up[${start}]`;
    this.ups.push({ value: up, size: count });
    const sum = g.node('FusedMatMul', [inner, up], { transA: 1 });
    return g.node('Reshape', [sum, g.integers([-1, count])]);
  }

  /** @returns [rows, parts * rank, tokens] */
  private inner(x: Value, weight: string, from: number, to: number): Value {
    const { g } = this;
    this.places.set(weight, { down: total(this.downs), from, up: total(this.ups), to });
    const down = `${weight}:down`;
    this.downs.push({ value: down, size: from });
    const inRows = this.once(`rows ${x}`, () =>
      g.node('Reshape', [x, this.once(`shape ${from}`, () => this.shape(from))]),
    );
    const perPart = g.node('FusedMatMul', [down, inRows], { transB: 1 });
    return g.node('Reshape', [perPart, this.innerShape], { allowzero: 1 });
  }

  private shape(from: number): Value {
    return this.g.node('Concat', [this.rows, this.g.integers([1, -1, from])], { axis: 0 });
  }

  private once(key: string, write: () => Value): Value {
    const value = this.written.get(key) ?? write();
    this.written.set(key, value);
    return value;
  }

  /** Called when all layers are written. */
  finish(): BranchLayout {
    const [downs, ups] = [this.downs, this.ups];
    for (const [input, pieces, axis] of [
      [branchInputs.downs, downs, 3],
      [branchInputs.ups, ups, 2],
    ] as const) {
      const sizes = pieces.map(({ size }) => size);
      this.g.splitFirst(
        input,
        sizes,
        pieces.map(({ value }) => value),
        axis,
      );
    }
    return { downsWidth: total(downs), upsWidth: total(ups), places: this.places };
  }
}

const total = (pieces: readonly Piece[]) => pieces.reduce((sum, { size }) => sum + size, 0);
