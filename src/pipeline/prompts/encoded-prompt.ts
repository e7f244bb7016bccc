// What the text encoders make of a text, and how much memory that takes.

import type { NamedEmbeddings } from '../../model-facts.js';
import type { Row } from '../onnx/rows.js';

export interface EncodedPrompt {
  readonly embeds: Row; // [tokens, width that the denoiser attends to]
  /** The same text as a negative prompt, which a clip skip leaves alone. */
  readonly negativeEmbeds: Row;
  /** The pooled embeddings of the encoders that have one which the family takes, of the first chunk, beside each other. */
  readonly pooled: Row | undefined; // [width]
  /** Tokens that no text encoder had room for. */
  readonly dropped: number;
  /** Tokens that CLIP had no room for, and a T5 beside it had. */
  readonly beyondClip: number;
  /** Textual inversions that the text names. */
  readonly named: NamedEmbeddings;
}

const zeros = (row: Row): Row => ({ data: new Float32Array(row.data.length), dims: row.dims });

/** What SDXL takes for an empty negative prompt (force_zeros_for_empty_prompt). */
export function zerosLike({ embeds, pooled }: EncodedPrompt): EncodedPrompt {
  const nothing = zeros(embeds);
  const named = { used: [], unfit: [] };
  return {
    embeds: nothing,
    negativeEmbeds: nothing,
    pooled: pooled && zeros(pooled),
    dropped: 0,
    beyondClip: 0,
    named,
  };
}

/**
 * @param padding what it goes on with, over and over
 * @param length in tokens: a multiple of the padding's
 */
export function lengthened(prompt: EncodedPrompt, padding: EncodedPrompt, length: number): EncodedPrompt {
  const to = (own: Row, more: Row): Row => {
    const width = own.dims[1]!;
    const data = new Float32Array(length * width);
    data.set(own.data);
    for (let at = own.data.length; at < data.length; at += more.data.length) data.set(more.data, at);
    return { data, dims: [length, width] };
  };
  if (prompt.embeds.dims[0] === length) return prompt;
  const { embeds, negativeEmbeds } = prompt;
  return {
    ...prompt,
    embeds: to(embeds, padding.embeds),
    negativeEmbeds: to(negativeEmbeds, padding.negativeEmbeds),
  };
}

export function bytesOf({ embeds, negativeEmbeds, pooled }: EncodedPrompt): number {
  const rows = new Set([embeds, negativeEmbeds, ...(pooled ? [pooled] : [])]);
  return [...rows].reduce((sum, { data }) => sum + 4 * data.length, 0);
}
