// Flux.1: a transformer over packed latents and the tokens of a T5, distilled from a guided model: of dev the guidance is an input, of
// schnell nothing is left of it. Source: diffusers, pipelines/flux.

import { clipPooledAndT5 } from '../folder/text-encoders.js';
import { packSide } from '../numbers/packing.js';
import type { Family } from './family.js';

export const flux: Family = {
  classes: ['Flux', 'FluxImg2Img', 'FluxInpaint'],
  architecture: 'flux',
  denoiser: 'transformer',
  latents: 'tokens',
  starter: 'noised',
  rules: { schedule: 'part', guidance: 'distilled', masks: true },
  kind: ({ takesGuidance }) => (takesGuidance ? 'flux' : 'flux-schnell'),
  textEncoders: () => ['text_encoder', 'text_encoder_2'],
  textOutputs: clipPooledAndT5,
  t5: { component: 'text_encoder_2', tokens: 512 },
  textJoin: 't5',
  zerosForEmptyPrompt: false,
  scalingFactor: 0.3611,
  shiftFactor: 0.1159,
  sampleSize: 128,
  upcastsVae: false,
  schedulerConfig: (config, vaeScale) => ({ ...config, flow: { tokenSide: packSide * vaeScale } }),
};
