// BiasSplitGelu: X + bias, whose left half is multiplied with the Gelu of its right one. BiasAdd: X + bias + skip.
// Source: onnxruntime, docs/ContribOperators.md.

import type { Unfuser } from './unfuser.js';

export const biasSplitGelu: Unfuser = {
  form: () => 'rewritten',
  rewrite({ inputs: [x, bias], outputs }, writer) {
    const [left, right] = writer.split(writer.node('Add', [x!, bias!]), 2, -1);
    const active = writer.node('Gelu', [right!]);
    Object.assign(writer.nodes.at(-1)!, { domain: 'com.microsoft' });
    writer.into(outputs, 'Mul', [left!, active]);
  },
};

export const biasAdd: Unfuser = {
  form: () => 'rewritten',
  rewrite({ inputs: [x, bias, skip], outputs }, writer) {
    writer.into(outputs, 'Add', [writer.node('Add', [x!, bias!]), skip!]);
  },
};
