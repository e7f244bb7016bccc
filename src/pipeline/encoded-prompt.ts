// What the text encoders make of a text, and how much memory that takes.

import type { Row } from './onnx/rows.js';

export interface EncodedPrompt {
  readonly embeds: Row; // [tokens, width of all encoders together]
  /** The same text as a negative prompt, which a clip skip leaves alone. */
  readonly negativeEmbeds: Row;
  /** SDXL: the last encoder's pooled embedding. */
  readonly pooled: Row | undefined; // [width]
  /** Tokens that did not fit. */
  readonly dropped: number;
}

const zeros = (row: Row): Row => ({ data: new Float32Array(row.data.length), dims: row.dims });

/** What SDXL takes for an empty negative prompt (force_zeros_for_empty_prompt). */
export function zerosLike({ embeds, pooled }: EncodedPrompt): EncodedPrompt {
  const nothing = zeros(embeds);
  return { embeds: nothing, negativeEmbeds: nothing, pooled: pooled && zeros(pooled), dropped: 0 };
}

export function bytesOf({ embeds, negativeEmbeds, pooled }: EncodedPrompt): number {
  const rows = new Set([embeds, negativeEmbeds, ...(pooled ? [pooled] : [])]);
  return [...rows].reduce((sum, { data }) => sum + 4 * data.length, 0);
}
