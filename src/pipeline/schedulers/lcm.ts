// Latent consistency models. Luo et al. 2023, "Latent Consistency Models", algorithm 3; diffusers, scheduling_lcm.py.

import { consistencyTimesteps } from './consistency.js';
import { alphasCumprod } from './noise-schedule.js';
import { cleanLatents, clipper, pointAt, predictionType } from './prediction.js';
import { combine, refuse, type Scheduler, type SchedulerConfig } from './schedule.js';

const defaults = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };
/** Standard deviation of the data, as consistency functions see it. */
const sigmaData = 0.5;

/**
 * @param strength below 1 the steps are spread over the cleaner part of the training grid, as the LCM pipeline does;
 * Stable Diffusion's own pipeline leaves it at 1 and runs the schedule's tail
 */
export function lcm(given: SchedulerConfig, steps: number, strength = 1): Scheduler {
  const config = { ...defaults, ...given };
  refuse(config, 'thresholding');
  const alphas = alphasCumprod(config);
  const prediction = predictionType(config);
  const clip = clipper(config, false);
  const scaling = config.timestep_scaling ?? 10;
  const timesteps = consistencyTimesteps('lcm', config, steps, strength);
  const points = Array.from(timesteps, (t) => pointAt(alphas, t));

  return {
    timesteps,
    order: 1,
    addNoise: (latents, noise, index) => combine(points[index]!.alpha, latents, points[index]!.sigma, noise),
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents, generator) {
      const clean = clip(cleanLatents(prediction, points[index]!, latents, modelOutput));
      const time = timesteps[index]! * scaling;
      const root = Math.sqrt(time ** 2 + sigmaData ** 2);
      const denoised = combine(time / root, clean, (sigmaData / root) ** 2, latents);
      const next = points[index + 1];
      return next ? combine(next.alpha, denoised, next.sigma, generator.randn(denoised.length)) : denoised;
    },
  };
}
