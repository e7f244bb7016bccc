// DDPM. Ho et al. 2020, "Denoising Diffusion Probabilistic Models", equations 6 and 7; diffusers, scheduling_ddpm.py.

import { alphasCumprod } from './noise-schedule.js';
import { cleanLatents, clipper, pointAt, predictionType } from './prediction.js';
import { choice, combine, refuse, type Scheduler, type SchedulerConfig } from './schedule.js';
import { roundHalfEven, spacedTimesteps } from './timesteps.js';

const varianceTypes = ['fixed_small', 'fixed_small_log', 'fixed_large'] as const;

export function ddpm(config: SchedulerConfig, steps: number): Scheduler {
  refuse(config, 'thresholding');
  const alphas = alphasCumprod(config);
  const prediction = predictionType(config);
  const clip = clipper(config, true);
  const varianceType = choice('variance_type', config.variance_type ?? undefined, varianceTypes, 'fixed_small');
  const timesteps = spacedTimesteps(config, steps, 'leading').map(roundHalfEven);

  return {
    timesteps,
    order: 1,
    addNoise(latents, noise, index) {
      const { alpha, sigma } = pointAt(alphas, timesteps[index]!);
      return combine(alpha, latents, sigma, noise);
    },
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents, generator) {
      const t = timesteps[index]!;
      const clean = clip(cleanLatents(prediction, pointAt(alphas, t), latents, modelOutput));
      const next = timesteps[index + 1] ?? -1;
      const alphaBar = alphas.at(t)!;
      const nextAlphaBar = next >= 0 ? alphas[next]! : 1;
      const alpha = alphaBar / nextAlphaBar;
      const cleanWeight = (Math.sqrt(nextAlphaBar) * (1 - alpha)) / (1 - alphaBar);
      const latentsWeight = (Math.sqrt(alpha) * (1 - nextAlphaBar)) / (1 - alphaBar);
      const mean = combine(cleanWeight, clean, latentsWeight, latents);
      if (t <= 0) return mean;
      const small = Math.max(((1 - nextAlphaBar) / (1 - alphaBar)) * (1 - alpha), 1e-20);
      const variance = varianceType === 'fixed_large' ? 1 - alpha : small;
      return combine(1, mean, Math.sqrt(variance), generator.randn(mean.length));
    },
  };
}
