// Which rows a request takes in a UNet call: the one place that says so, for whoever plans, computes or explains them.

import type { GuidanceKind, RequestRules } from './model-facts.js';

/** What the prediction of a row is conditioned with; `starter` and `nothing` have the negative prompt for their text. */
export type RowKind = 'negative_prompt' | 'prompt' | 'starter' | 'nothing';

interface Guided {
  readonly guidanceScale: number;
  readonly imageGuidance?: number | undefined;
  readonly trueGuidance?: number | undefined;
}

const prompts = (scale: number): readonly RowKind[] => (scale > 1 ? ['negative_prompt', 'prompt'] : ['prompt']);

/** In diffusers' order. */
const rows: Readonly<Record<GuidanceKind, (request: Guided) => readonly RowKind[]>> = {
  prompts: ({ guidanceScale }) => prompts(guidanceScale),
  embedded: () => ['prompt'],
  prompts_and_starter: ({ guidanceScale, imageGuidance = 0 }) =>
    guidanceScale > 1 && imageGuidance >= 1 ? ['prompt', 'starter', 'nothing'] : ['prompt'],
  distilled: ({ trueGuidance = 1 }) => prompts(trueGuidance),
  true_only: ({ trueGuidance = 1 }) => prompts(trueGuidance),
};

/** Where nothing is guided there is the prompt's row alone. */
export const guidanceRows = (request: Guided, { guidance }: Pick<RequestRules, 'guidance'>): readonly RowKind[] =>
  rows[guidance](request);
