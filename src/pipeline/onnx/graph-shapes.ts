// What a graph's weights tell of it by their shapes, where its inputs and outputs leave their sizes free: some exporters name
// every axis.

import { GraphFile, type GraphNode } from './graph-file.js';

export interface GraphShapes {
  /** Shapes of the tables that ids are looked up in: a text encoder's are [vocabulary, width] and [tokens, width]. */
  readonly tables: readonly (readonly [rows: number, width: number])[];
  /** What the first convolution takes and the last one gives. */
  readonly channels: { readonly in: number; readonly out: number } | undefined;
  /** By input: how wide the rows are that a matrix of weights takes of it. */
  readonly widths: ReadonlyMap<string, number>;
}

/** @throws RangeError, whose message says what is wrong with the file */
export function graphShapes(path: string): GraphShapes {
  const graph = GraphFile.open(path);
  try {
    const weights = new Map<string, readonly number[]>();
    for (const { name, dims } of graph.initializers()) weights.set(name, dims);
    for (const node of graph.nodes) {
      const dims = keepsShape(node) ? weights.get(node.inputs[0]!) : undefined;
      if (dims) weights.set(node.outputs[0]!, dims);
    }
    const shapeOf = (name: string | undefined) => (name === undefined ? undefined : weights.get(name));
    const convolutions = graph.nodes.flatMap((node) => channelsOf(node, shapeOf(node.inputs[1])) ?? []);
    return {
      tables: graph.nodes.flatMap(({ opType, inputs }) => {
        const dims = opType === 'Gather' ? shapeOf(inputs[0]) : undefined;
        return dims?.length === 2 ? [[dims[0]!, dims[1]!] as const] : [];
      }),
      // Nodes stand in the order in which they can run.
      channels: convolutions[0] && { in: convolutions[0].in, out: convolutions.at(-1)!.out },
      widths: new Map(
        graph.inputs.flatMap(({ name }): [string, number][] => {
          const width = widthOf(graph.nodes, name, shapeOf);
          return width === undefined ? [] : [[name, width]];
        }),
      ),
    };
  } finally {
    graph.close();
  }
}

const keepsShape = ({ opType }: GraphNode) => opType === 'Cast' || opType === 'Identity';

/** @param weight [out, in, height, width]; onnxruntime's NhwcConv has the channels at the end */
function channelsOf({ opType }: GraphNode, weight: readonly number[] | undefined) {
  if (weight?.length !== 4) return undefined;
  if (opType === 'Conv' || opType === 'FusedConv') return { in: weight[1]!, out: weight[0]! };
  return opType === 'NhwcConv' ? { in: weight[3]!, out: weight[0]! } : undefined;
}

function widthOf(
  nodes: readonly GraphNode[],
  input: string,
  shapeOf: (name: string | undefined) => readonly number[] | undefined,
): number | undefined {
  const same = new Set([input]);
  for (const node of nodes) if (keepsShape(node) && same.has(node.inputs[0]!)) same.add(node.outputs[0]!);
  for (const { opType, inputs } of nodes) {
    const weight = opType === 'MatMul' && same.has(inputs[0]!) ? shapeOf(inputs[1]) : undefined;
    if (weight?.length === 2) return weight[0]!;
  }
  return undefined;
}
