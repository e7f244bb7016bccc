// Graphs that onnxruntime's optimizer made for CUDA or DirectML hold operators that the CPU's provider lacks. Those that are
// known are written in ONNX's own again; all weights stay as they are.

import type { GraphFile, GraphNode } from '../graph-file.js';
import { biasAdd, biasSplitGelu } from './bias.js';
import { groupNorm, skipGroupNorm } from './group-norm.js';
import { nhwcConv } from './nhwc-conv.js';
import { NodeWriter } from './node-writer.js';
import { packedAttention } from './packed-attention.js';
import type { Unfuser } from './unfuser.js';
import { valueTypes } from './value-types.js';

const domain = 'com.microsoft';
const unfusers: Readonly<Record<string, Unfuser>> = {
  BiasAdd: biasAdd,
  BiasSplitGelu: biasSplitGelu,
  GroupNorm: groupNorm,
  MultiHeadAttention: packedAttention,
  NhwcConv: nhwcConv,
  SkipGroupNorm: skipGroupNorm,
};

/** Of onnxruntime 1.30's operators, those without a kernel for the CPU that nothing here writes. */
const gpuOnly: readonly string[] = [
  'BiasDropout',
  'GemmFastGelu',
  'GemmFloat8',
  'LongformerAttention',
  'NhwcFusedConv',
  'PackedAttention',
  'PackedMultiHeadAttention',
  'RemovePadding',
  'RestorePadding',
];

const formOf = (node: GraphNode): ReturnType<Unfuser['form']> => {
  if (node.domain !== domain) return 'runs';
  if (gpuOnly.includes(node.opType)) return 'unknown';
  return Object.hasOwn(unfusers, node.opType) ? unfusers[node.opType]!.form(node) : 'runs';
};

/** Operators that the CPU's provider lacks and that cannot be rewritten. */
export function onlyOnGpus(nodes: readonly GraphNode[]): readonly string[] {
  return [...new Set(nodes.filter((node) => formOf(node) === 'unknown').map(({ opType }) => opType))].sort();
}

/** Whether there is something to rewrite. */
export const isFused = ({ nodes }: GraphFile): boolean => nodes.some((node) => formOf(node) === 'rewritten');

/**
 * Rewrites what the CPU's provider lacks.
 * @returns false when there is nothing of the kind
 * @throws RangeError for a value whose type nothing tells
 */
export function unfuse(graph: GraphFile): boolean {
  if (!isFused(graph)) return false;
  const opset = graph.opsets.get('') ?? graph.opsets.get('ai.onnx') ?? 1;
  const writer = new NodeWriter(valueTypes(graph), opset);
  for (const node of graph.nodes) {
    if (formOf(node) === 'rewritten') unfusers[node.opType]!.rewrite(node, writer);
    else writer.nodes.push(node);
  }
  graph.nodes.length = 0;
  for (const node of writer.nodes) graph.nodes.push(node);
  return true;
}
