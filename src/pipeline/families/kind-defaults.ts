import type { Kind, RequestDefaults } from '../../model-facts.js';

/** Of all that are not distilled to fewer steps. */
const usual = { steps: 25, strength: 0.75 } as const;
const distilled = { steps: 4, strength: 0.75 } as const;

/** What a request gets that does not say: diffusers' own defaults for guidance, a length of schedule that suits. */
export const kindDefaults: Readonly<Record<Kind, RequestDefaults>> = {
  sd: { ...usual, guidance: 7.5 },
  'sd-v': { ...usual, guidance: 7.5 },
  'sd-turbo': { ...distilled, guidance: 1 },
  sdxl: { ...usual, guidance: 5 },
  'sdxl-refiner': { ...usual, guidance: 5 },
  'sdxl-turbo': { ...distilled, guidance: 1 },
  lcm: { ...distilled, guidance: 8.5 },
  'instruct-pix2pix': { steps: 25, guidance: 7.5, imageGuidance: 1.5 },
};
