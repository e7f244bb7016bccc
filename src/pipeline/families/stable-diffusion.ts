// Stable Diffusion 1 and 2: one text encoder. Source: diffusers, pipelines/stable_diffusion.

import { lastHiddenState } from '../folder/text-encoders.js';
import { stableDiffusionConfig } from '../schedulers/schedule.js';
import type { Family } from './family.js';

export const stableDiffusion: Family = {
  classes: ['StableDiffusion', 'StableDiffusionImg2Img', 'StableDiffusionInpaint', 'StableDiffusionInstructPix2Pix'],
  architecture: 'sd',
  denoiser: 'unet',
  latents: 'picture',
  starter: 'noised',
  rules: { schedule: 'part', guidance: 'prompts', masks: true },
  kind: ({ turbo, velocity }) => (turbo ? 'sd-turbo' : velocity ? 'sd-v' : 'sd'),
  textEncoders: () => ['text_encoder'],
  textOutputs: lastHiddenState,
  textJoin: 'beside',
  zerosForEmptyPrompt: false,
  scalingFactor: 0.18215,
  sampleSize: 64,
  upcastsVae: false,
  schedulerConfig: stableDiffusionConfig,
};
