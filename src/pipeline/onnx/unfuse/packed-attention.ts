// MultiHeadAttention with query, key and value in one tensor [N, tokens, heads, 3, width], or key and value in one
// [N, tokens, heads, 2, width]: they are taken apart. The CPU's provider has the operator with three inputs.
// Source: onnxruntime, docs/ContribOperators.md.

import type { GraphNode } from '../graph-file.js';
import type { Unfuser } from './unfuser.js';

/** Of the packed dimension. */
const axis = 3;

/** How many of the three inputs the last one of them holds. */
function packed({ inputs: [, key, value] }: GraphNode): 1 | 2 | 3 {
  if (!key) return 3;
  return value ? 1 : 2;
}

export const packedAttention: Unfuser = {
  form: (node) => (packed(node) === 1 ? 'runs' : 'rewritten'),
  rewrite(node, writer) {
    const count = packed(node);
    const { inputs, outputs, opType, domain, rest } = node;
    const parts = writer.split(inputs[count === 3 ? 0 : 1]!, count, axis);
    const rows = parts.map((part) => writer.node('Reshape', [part, writer.integers([0, 0, -1])]));
    writer.into(outputs, opType, [...(count === 3 ? rows : [inputs[0]!, ...rows]), ...inputs.slice(3)], {}, domain);
    writer.nodes.at(-1)!.rest = rest;
  },
};
