// Whether a model's weights have room at all, and whether its text encoders have to leave when they have done their work.

import type { ModelFolder } from '../../pipeline/folder/model-folder.js';

/** Bytes; absent where there is no limit, or nobody knows it. */
export interface WeightLimits {
  /** All that the machine or the container has. */
  readonly machine?: number | undefined;
  /** What MODEL_MEMORY_BYTES says, where it is set. */
  readonly budget?: number | undefined;
}

type Weights = ModelFolder['weightBytes'];

/** They are loaded again for each prompt that is not known. */
export const encodersLeave = ({ all }: Weights, { budget = Number.POSITIVE_INFINITY }: WeightLimits): boolean =>
  all > budget;

/** Bytes that stay loaded while the model does. */
export const keptBytes = (weights: Weights, limits: WeightLimits): number =>
  encodersLeave(weights, limits) ? weights.all - weights.textEncoders : weights.all;

/** Why a model can never be loaded here, in one sentence without its end. */
export function tooLarge(weights: Weights, limits: WeightLimits): string | undefined {
  const { machine = Number.POSITIVE_INFINITY, budget = Number.POSITIVE_INFINITY } = limits;
  if (weights.all > machine) {
    return `its weights take ${weights.all} bytes once they are loaded, and this machine has ${machine} bytes of memory`;
  }
  const kept = keptBytes(weights, limits);
  if (kept <= budget) return undefined;
  return `its weights take ${kept} bytes once they are loaded, those of its text encoders left out, and MODEL_MEMORY_BYTES is ${budget}`;
}
