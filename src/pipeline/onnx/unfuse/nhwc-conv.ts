// NhwcConv: Conv with the channels last, in the picture [N, H, W, C] and in the weights [M, H, W, C].
// Source: onnxruntime, docs/ContribOperators.md.

import type { Unfuser } from './unfuser.js';

const toChannelsFirst = [0, 3, 1, 2];

export const nhwcConv: Unfuser = {
  form: () => 'rewritten',
  rewrite({ inputs: [x, weights, ...bias], outputs, rest }, writer) {
    const [picture, filters] = [x!, weights!].map((value) =>
      writer.node('Transpose', [value], { perm: toChannelsFirst }),
    );
    const convolved = writer.node('Conv', [picture!, filters!, ...bias]);
    writer.nodes.at(-1)!.rest = rest;
    writer.into(outputs, 'Transpose', [convolved], { perm: [0, 2, 3, 1] });
  },
};
