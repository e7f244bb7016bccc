// Which rows a request takes in a UNet call: the one place that says so, for whoever plans, computes or explains them.

/** What the prediction of a row is conditioned with. */
export type RowKind = 'negative_prompt' | 'prompt';

/**
 * Classifier-free guidance compares the prompt's row with the negative prompt's, which comes first, as in diffusers. Without
 * guidance (a scale at or below 1), or with one that the UNet takes as an embedding, there is the prompt's row alone.
 */
export function guidanceRows(
  { guidanceScale }: { readonly guidanceScale: number },
  { guidanceEmbedded }: { readonly guidanceEmbedded: boolean },
): readonly RowKind[] {
  return guidanceScale > 1 && !guidanceEmbedded ? ['negative_prompt', 'prompt'] : ['prompt'];
}
