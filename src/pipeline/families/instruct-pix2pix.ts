// InstructPix2Pix (Brooks et al. 2023): the prompt is an instruction, and the UNet sees the starter at every step.
// Source: diffusers, pipeline_stable_diffusion_instruct_pix2pix.py, whose schedulers keep their configs as they are.

import type { Family } from './family.js';
import { stableDiffusion } from './stable-diffusion.js';

export const instructPix2Pix: Family = {
  ...stableDiffusion,
  starter: 'beside',
  rules: { schedule: 'whole', guidance: 'prompts_and_starter', masks: false },
  kind: () => 'instruct-pix2pix',
  schedulerConfig: (config) => config,
};
