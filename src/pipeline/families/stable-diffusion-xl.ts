// Stable Diffusion XL: two text encoders, of which the refiner has the second only, pooled embeddings and time ids.
// Source: diffusers, pipelines/stable_diffusion_xl.

import { hiddenStateBeforeLast } from '../folder/text-encoders.js';
import type { Family } from './family.js';

export const stableDiffusionXl: Family = {
  classes: ['StableDiffusionXL', 'StableDiffusionXLImg2Img', 'StableDiffusionXLInpaint'],
  architecture: 'sdxl',
  denoiser: 'unet',
  latents: 'picture',
  starter: 'noised',
  rules: { schedule: 'part', guidance: 'prompts', masks: true },
  kind: ({ refiner, turbo }) => (refiner ? 'sdxl-refiner' : turbo ? 'sdxl-turbo' : 'sdxl'),
  textEncoders: (has) => (has('text_encoder') ? ['text_encoder', 'text_encoder_2'] : ['text_encoder_2']),
  textOutputs: hiddenStateBeforeLast,
  textJoin: 'beside',
  zerosForEmptyPrompt: true,
  scalingFactor: 0.13025,
  sampleSize: 128,
  upcastsVae: true,
  schedulerConfig: (config) => config,
};
