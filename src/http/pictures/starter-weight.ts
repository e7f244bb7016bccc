// How far the starter pulls: what `influence`, `strength` and `image_guidance` come to for a model.

import type { ModelInfo } from '../../engine/host/engine.js';
import { Problem } from '../problems/problems.js';

export interface SentWeight {
  readonly influence?: number | undefined;
  readonly strength?: number | undefined;
  readonly image_guidance?: number | undefined;
}

export interface StarterWeight {
  /** Percent; undefined where the model runs its whole schedule and nobody asked for one. */
  readonly influence: number | undefined;
  /** The share of the schedule that runs; undefined where it is always the whole. */
  readonly strength: number | undefined;
  /** Of models that take one. */
  readonly imageGuidance: number | undefined;
}

/** @throws Problem for two names of one thing, whatever the model */
export function starterWeight(
  sent: SentWeight,
  { rules, defaults }: Pick<ModelInfo, 'rules' | 'defaults'>,
): StarterWeight {
  refuseTwo(sent, 'strength', 'influence', 'are two names for one thing (influence = 100 * (1 - strength))');
  for (const other of ['influence', 'strength'] as const) {
    refuseTwo(sent, 'image_guidance', other, 'both say how far the starter pulls');
  }
  const { influence, strength, image_guidance } = sent;
  if (rules.schedule !== 'whole') {
    // (100 - influence) / 100 and not 1 - influence / 100: the strength must be the double that a person would write.
    const used = strength ?? (influence === undefined ? defaults.strength! : (100 - influence) / 100);
    return { influence: influence ?? influenceOf(used), strength: used, imageGuidance: undefined };
  }
  const asked = influence ?? (strength === undefined ? undefined : influenceOf(strength));
  const usual = asked === undefined ? defaults.imageGuidance : imageGuidanceOf(asked);
  return { influence: asked, strength: undefined, imageGuidance: image_guidance ?? usual };
}

/** Percent. */
export const influenceOf = (strength: number): number => Number((100 * (1 - strength)).toFixed(6));

/** 1, the least that guides at all, to 3: 25 percent are diffusers' default. */
const imageGuidanceOf = (influence: number): number => (50 + influence) / 50;

/** Its inverse, for those who show a default. */
export const influenceOfImageGuidance = (imageGuidance: number): number =>
  Number((50 * (imageGuidance - 1)).toFixed(6));

function refuseTwo(sent: SentWeight, one: keyof SentWeight, other: keyof SentWeight, why: string): void {
  if (sent[one] === undefined || sent[other] === undefined) return;
  const detail = `${one} and ${other} ${why}; send one of them.`;
  throw new Problem('invalid_request', detail, {
    errors: [
      { pointer: `#/${one}`, detail },
      { pointer: `#/${other}`, detail },
    ],
  });
}
