// Stable Diffusion 3 and 3.5: a transformer in the place of the UNet, trained on flows, and three text encoders, of which the T5 may
// be left out. Source: diffusers, pipelines/stable_diffusion_3.

import { clipsAndT5 } from '../folder/text-encoders.js';
import type { Family } from './family.js';

export const stableDiffusion3: Family = {
  classes: ['StableDiffusion3', 'StableDiffusion3Img2Img', 'StableDiffusion3Inpaint'],
  architecture: 'sd3',
  denoiser: 'transformer',
  latents: 'picture',
  starter: 'noised',
  rules: { schedule: 'part', guidance: 'prompts', masks: true },
  kind: ({ turbo }) => (turbo ? 'sd3-turbo' : 'sd3'),
  textEncoders: (has) => [
    'text_encoder',
    'text_encoder_2',
    ...(has('text_encoder_3') ? ['text_encoder_3' as const] : []),
  ],
  textOutputs: clipsAndT5,
  t5: { component: 'text_encoder_3', tokens: 256 },
  textJoin: 'clip_then_t5',
  zerosForEmptyPrompt: false,
  scalingFactor: 1.5305,
  shiftFactor: 0.0609,
  sampleSize: 128,
  upcastsVae: false,
  schedulerConfig: (config) => config,
};
