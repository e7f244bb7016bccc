// Which rows a request takes in a UNet call: the one place that says so, for whoever plans, computes or explains them.

import type { GuidanceKind, RequestRules } from './model-facts.js';

/** What the prediction of a row is conditioned with. */
export type RowKind = 'negative_prompt' | 'prompt';

interface Guided {
  readonly guidanceScale: number;
}

/** In diffusers' order. */
const rows: Readonly<Record<GuidanceKind, (request: Guided) => readonly RowKind[]>> = {
  prompts: ({ guidanceScale }) => (guidanceScale > 1 ? ['negative_prompt', 'prompt'] : ['prompt']),
  embedded: () => ['prompt'],
};

/** Where nothing is guided (a scale at or below 1), there is the prompt's row alone. */
export const guidanceRows = (request: Guided, { guidance }: Pick<RequestRules, 'guidance'>): readonly RowKind[] =>
  rows[guidance](request);
