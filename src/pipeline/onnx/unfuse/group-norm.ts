// GroupNorm { groups, epsilon, activation: 1 is SiLU, channels_last }: X, gamma [C], beta [C] -> Y.
// SkipGroupNorm: X, gamma, beta, skip, bias -> Y, and X + skip + bias. skip is [N, H, W, C], or [N, C] or [N, 1, 1, C].
// Source: onnxruntime, docs/ContribOperators.md.

import { attributeOf } from '../attributes.js';
import { dataTypes, type GraphNode } from '../graph-file.js';
import type { NodeWriter } from './node-writer.js';
import type { Unfuser } from './unfuser.js';

const silu = 1;
const toChannelsFirst = [0, 3, 1, 2];
const toChannelsLast = [0, 2, 3, 1];
const defaultEpsilon = 1e-5;

export const groupNorm: Unfuser = {
  form: formOf,
  rewrite(node, writer) {
    normalised(node, node.inputs[0]!, writer.typeOf(node.inputs[0]!), writer);
  },
};

export const skipGroupNorm: Unfuser = {
  form: formOf,
  rewrite(node, writer) {
    const [x, , , skip, bias] = node.inputs;
    const skipped = writer.node('Add', [x!, broadcast(skip!, writer)]);
    const sum = bias ? writer.node('Add', [skipped, bias]) : skipped;
    if (node.outputs[1]) writer.into([node.outputs[1]], 'Identity', [sum]);
    normalised(node, sum, writer.typeOf(x!), writer);
  },
};

function formOf(node: GraphNode): 'rewritten' | 'unknown' {
  const groups = attributeOf(node, 'groups')?.int ?? 0;
  const activation = attributeOf(node, 'activation')?.int ?? 0;
  return groups > 0 && groups <= 2 ** 16 && (activation === 0 || activation === silu) ? 'rewritten' : 'unknown';
}

/** As exporters write it: a group is an instance. In float32, as the fused kernels compute. */
function normalised(node: GraphNode, x: string, type: number, writer: NodeWriter): void {
  const groups = attributeOf(node, 'groups')!.int!;
  const epsilon = attributeOf(node, 'epsilon')?.float ?? defaultEpsilon;
  const channelsLast = (attributeOf(node, 'channels_last')?.int ?? 1) === 1;
  const float = type === dataTypes.float32 ? x : writer.node('Cast', [x], { to: dataTypes.float32 });
  const picture = channelsLast ? writer.node('Transpose', [float], { perm: toChannelsFirst }) : float;
  const grouped = writer.node('Reshape', [picture, writer.integers([0, groups, -1])]);
  const [ones, zeros] = [writer.floats(Array(groups).fill(1)), writer.floats(Array(groups).fill(0))];
  const even = writer.node('InstanceNormalization', [grouped, ones, zeros], { epsilon: { float: epsilon } });
  const apart = writer.node('Reshape', [even, writer.node('Shape', [picture])]);
  const perChannel = (weight: string) => writer.node('Reshape', [writer.float32(weight), writer.integers([-1, 1, 1])]);
  const scaled = writer.node('Mul', [apart, perChannel(node.inputs[1]!)]);
  const shifted = writer.node('Add', [scaled, perChannel(node.inputs[2]!)]);
  const active =
    attributeOf(node, 'activation')?.int === silu
      ? writer.node('Mul', [shifted, writer.node('Sigmoid', [shifted])])
      : shifted;
  const back = channelsLast ? writer.node('Transpose', [active], { perm: toChannelsLast }) : active;
  writer.into([node.outputs[0]!], 'Cast', [back], { to: type });
}

/** [N, C] becomes [N, 1, 1, C]; what has four dimensions stays: its inner ones are followed by two ones, of which two are taken. */
function broadcast(skip: string, writer: NodeWriter): string {
  const shape = writer.node('Shape', [skip]);
  const slice = (value: string, start: number, end: number) =>
    writer.node('Slice', [value, writer.integers([start]), writer.integers([end])]);
  const inner = writer.node('Concat', [slice(shape, 1, -1), writer.integers([1, 1])], { axis: 0 });
  const end = slice(shape, -1, 2 ** 31);
  return writer.node('Reshape', [
    skip,
    writer.node('Concat', [slice(shape, 0, 1), slice(inner, 0, 2), end], { axis: 0 }),
  ]);
}
