import type { Kind } from '../../model-facts.js';

/** What a request gets that does not say: diffusers' own defaults for guidance, a length of schedule that suits. */
export const kindDefaults: Readonly<Record<Kind, { readonly steps: number; readonly guidance: number }>> = {
  sd: { steps: 25, guidance: 7.5 },
  'sd-v': { steps: 25, guidance: 7.5 },
  'sd-turbo': { steps: 4, guidance: 1 },
  sdxl: { steps: 25, guidance: 5 },
  'sdxl-refiner': { steps: 25, guidance: 5 },
  'sdxl-turbo': { steps: 4, guidance: 1 },
  lcm: { steps: 4, guidance: 8.5 },
};
