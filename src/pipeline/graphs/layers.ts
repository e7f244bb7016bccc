// The layers that Stable Diffusion's parts are made of. Pictures are [rows, channels, height, width]; tokens are
// [rows * tokens, width], since a Gemm keeps one copy of its weights where a MatMul with a transpose keeps two.

import type { ComputingPrecision } from '../../model-facts.js';
import { dataTypes } from '../onnx/graph-file.js';
import type { TensorPlace } from '../safetensors/header.js';
import { Branches } from './branches.js';
import { GraphWriter, type Value, type WrittenGraph } from './graph-writer.js';
import { changed, type RowRange } from './low-rank.js';
import { rowsOf, type Weights } from './weights.js';

export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'quick_gelu' | 'relu';

export class Layers extends GraphWriter {
  readonly branches: Branches | undefined;

  /** @param branched whether `tokenLinear` takes LoRAs for each row; in fp32 only */
  constructor(
    readonly tensors: Weights,
    precision?: ComputingPrecision,
    branched = false,
  ) {
    super(precision);
    this.branches = branched ? new Branches(this) : undefined;
  }

  /** x * weight^T + bias, with a bias where the file has one. @param x [n, from] */
  linear(x: Value, name: string, from: number, to: number): Value {
    const bias = this.tensors.has(`${name}.bias`) ? [this.parameter(`${name}.bias`, [to])] : [];
    return this.node('Gemm', [x, this.parameter(`${name}.weight`, [to, from]), ...bias], { transB: 1 });
  }

  /** The same of tokens, with what the LoRAs of each row add. @param x [rows * tokens, from] */
  tokenLinear(x: Value, name: string, from: number, to: number): Value {
    if (!this.branches) return this.linear(x, name, from, to);
    const bias = this.tensors.has(`${name}.bias`) ? [this.parameter(`${name}.bias`, [to])] : [];
    const added = [this.branches.of(x, `${name}.weight`, from, to), ...bias].reduce((a, b) => this.add(a, b));
    return this.node('Gemm', [x, this.parameter(`${name}.weight`, [to, from]), added], { transB: 1 });
  }

  /** Outputs start..start+count of such a layer, whose rows lie together in the file. */
  tokenLinearPart(x: Value, name: string, from: number, to: number, start: number, count: number): Value {
    const part = (tensor: string, shape: readonly number[]) => {
      const place = rowsOf(this.tensors.take(tensor, shape), start, count);
      return this.withChanges(`${tensor}[${start}]`, place, tensor, shape, { start, count });
    };
    const bias = this.tensors.has(`${name}.bias`) ? [part(`${name}.bias`, [to])] : [];
    const own = this.branches ? [this.branches.of(x, `${name}.weight`, from, to, { start, count })] : [];
    const added = [...own, ...bias];
    const sum = added.length > 0 ? [added.reduce((a, b) => this.add(a, b))] : [];
    return this.node('Gemm', [x, part(`${name}.weight`, [to, from]), ...sum], { transB: 1 });
  }

  /** @param pads top, left, bottom, right */
  conv(
    x: Value,
    name: string,
    from: number,
    to: number,
    { kernel = 3, stride = 1, pads = Array(4).fill((kernel - 1) / 2) as number[] } = {},
  ): Value {
    const bias = this.tensors.has(`${name}.bias`) ? [this.parameter(`${name}.bias`, [to])] : [];
    const weight = this.parameter(`${name}.weight`, [to, from, kernel, kernel]);
    return this.node('Conv', [x, weight, ...bias], { kernel_shape: [kernel, kernel], strides: [stride, stride], pads });
  }

  /** Of a picture, over groups of its channels (Wu & He 2018). */
  groupNorm(x: Value, name: string, channels: number, groups: number, epsilon: number): Value {
    const grouped = this.node('Reshape', [x, this.integers([0, groups, -1])]);
    const [one, zero] = [1, 0].map((value) => this.numbers(Array(groups).fill(value)));
    const normed = this.node('InstanceNormalization', [grouped, one!, zero!], { epsilon: { float: epsilon } });
    const whole = this.node('Reshape', [normed, this.node('Shape', [x])]);
    const perChannel = (which: string) => {
      const place = this.tensors.take(`${name}.${which}`, [channels]);
      return this.weight(`${name}.${which}`, { ...place, shape: [channels, 1, 1] });
    };
    return this.node('Add', [this.node('Mul', [whole, perChannel('weight')]), perChannel('bias')]);
  }

  /** Over the last axis. */
  layerNorm(x: Value, name: string, width: number, epsilon: number): Value {
    const [weight, bias] = ['weight', 'bias'].map((which) => this.parameter(`${name}.${which}`, [width]));
    return this.node('LayerNormalization', [x, weight!, bias!], { axis: -1, epsilon: { float: epsilon } });
  }

  /** Over the last axis, without a mean and a bias (Zhang & Sennrich 2019): in float32, as squares pass what half floats hold. */
  rmsNorm(x: Value, name: string, width: number, epsilon: number): Value {
    const plain = this.precision === 'fp32' ? x : this.node('Cast', [x], { to: dataTypes.float32 });
    const squares = this.node('ReduceMean', [this.node('Pow', [plain, this.floats([2], [])])], {
      axes: [-1],
      keepdims: 1,
    });
    const root = this.node('Sqrt', [this.add(squares, this.floats([epsilon], []))]);
    const normed = this.toComputed(this.node('Div', [plain, root]));
    return this.node('Mul', [normed, this.parameter(`${name}.weight`, [width])]);
  }

  activation(x: Value, kind: Activation): Value {
    switch (kind) {
      case 'silu':
        return this.node('QuickGelu', [x], { alpha: { float: 1 } }); // x * sigmoid(x)
      case 'quick_gelu':
        return this.node('QuickGelu', [x], { alpha: { float: 1.702 } });
      case 'gelu':
        return this.node('Gelu', [x]);
      case 'gelu_tanh':
        return this.node('FastGelu', [x]); // the approximation by a tanh
      case 'relu':
        return this.node('Relu', [x]);
    }
  }

  silu(x: Value): Value {
    return this.activation(x, 'silu');
  }

  add(a: Value, b: Value): Value {
    return this.node('Add', [a, b]);
  }

  /** Each pixel becomes four. */
  upsample(x: Value): Value {
    const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
    return this.node('Resize', [x, '', this.floats([1, 1, 2, 2])], attributes);
  }

  /** [rows, channels, height, width] -> [rows * height * width, channels] */
  toTokens(x: Value, channels: number): Value {
    const last = this.node('Transpose', [x], { perm: [0, 2, 3, 1] });
    return this.node('Reshape', [last, this.integers([-1, channels])]);
  }

  /** What `toTokens` made, back in the shape of `like`. */
  toPicture(tokens: Value, like: Value): Value {
    const shape = this.node('Gather', [this.node('Shape', [like]), this.integers([0, 2, 3, 1])]);
    return this.node('Transpose', [this.node('Reshape', [tokens, shape])], { perm: [0, 3, 1, 2] });
  }

  /** The length of the first axis, [1]. */
  rowsOf(x: Value): Value {
    return this.node('Slice', [this.node('Shape', [x]), this.integers([0]), this.integers([1])]);
  }

  /** Reshaped to [rows, ...dims]. @param rows as `rowsOf` gives it */
  inRows(x: Value, rows: Value, dims: readonly number[]): Value {
    return this.node('Reshape', [x, this.node('Concat', [rows, this.integers(dims)], { axis: 0 })]);
  }

  /**
   * Sinusoids of each number (Vaswani et al. 2017), as get_timestep_embedding makes them: in float32, since half floats know
   * no timestep beyond 2,048 from the next.
   * @param x [n], float32
   * @returns [n, width], as what the graph computes in
   */
  sinusoids(x: Value, width: number, { cosineFirst, shift }: { cosineFirst: boolean; shift: number }): Value {
    const half = width / 2;
    const { fround } = Math;
    const frequencies = Array.from({ length: half }, (_, i) =>
      fround(Math.exp(fround(fround(fround(-Math.log(10000)) * i) / (half - shift)))),
    );
    const column = this.node('Reshape', [x, this.integers([-1, 1])]);
    const angles = this.node('Mul', [column, this.floats(frequencies, [1, half])]);
    const waves = ['Sin', 'Cos'].map((wave) => this.node(wave, [angles]));
    return this.toComputed(this.node('Concat', cosineFirst ? waves.reverse() : waves, { axis: 1 }));
  }

  /** A whole tensor, with what LoRAs change of it. */
  parameter(name: string, shape: readonly number[]): Value {
    return this.withChanges(name, this.tensors.take(name, shape), name, shape);
  }

  /** Sums are taken in float32, and rounded once. @param value its name in the graph */
  private withChanges(
    value: Value,
    place: TensorPlace,
    name: string,
    shape: readonly number[],
    rows?: RowRange,
  ): Value {
    const changes = this.tensors.changesOf(name);
    if (changes.length === 0) return this.weight(value, place);
    const plain = this.weight(value, place, 'fp32');
    return this.toComputed(changes.reduce((sum, change) => changed(this, sum, shape, change, rows), plain));
  }

  override finish(halvings: number): WrittenGraph {
    const branches = this.branches?.finish();
    return { ...super.finish(halvings), ...(branches && { branches }) };
  }

  place(name: string, shape: readonly number[]): TensorPlace {
    return this.tensors.take(name, shape);
  }
}
