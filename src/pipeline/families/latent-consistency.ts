// Latent consistency models: every step runs, whatever the strength. Source: diffusers, pipelines/latent_consistency_models.

import type { Family } from './family.js';
import { stableDiffusion } from './stable-diffusion.js';

export const latentConsistency: Family = {
  ...stableDiffusion,
  classes: ['LatentConsistencyModel', 'LatentConsistencyModelImg2Img'],
  rules: { ...stableDiffusion.rules, schedule: 'consistency' },
  kind: () => 'lcm',
  schedulerConfig: (config) => config,
};
