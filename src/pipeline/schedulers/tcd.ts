// Trajectory consistency distillation. Zheng et al. 2024, "Trajectory Consistency Distillation", algorithm 4 (strategic stochastic
// sampling); diffusers, scheduling_tcd.py.

import { consistencyTimesteps } from './consistency.js';
import { alphasCumprod } from './noise-schedule.js';
import { cleanLatents, pointAt, predictedNoise, predictionType } from './prediction.js';
import { combine, type Scheduler, type SchedulerConfig, UnsupportedSchedulerError } from './schedule.js';

const defaults = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };

/**
 * The config's `eta` (the paper's gamma) is the share of the way to the next timestep that goes back up with fresh noise: 0 makes it
 * deterministic. In diffusers it is an argument of the step, 0.3 unless given.
 */
export function tcd(given: SchedulerConfig, steps: number): Scheduler {
  const config = { ...defaults, ...given };
  const alphas = alphasCumprod(config);
  const prediction = predictionType(config);
  const eta = config.eta ?? 0.3;
  if (!(eta >= 0 && eta <= 1)) throw new UnsupportedSchedulerError(`eta is ${eta}; the scheduler tcd takes 0 to 1`);
  const timesteps = consistencyTimesteps('tcd', config, steps, 1);

  return {
    timesteps,
    order: 1,
    addNoise(latents, noise, index) {
      const { alpha, sigma } = pointAt(alphas, timesteps[index]!);
      return combine(alpha, latents, sigma, noise);
    },
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents, generator) {
      const point = pointAt(alphas, timesteps[index]!);
      const next = timesteps[index + 1] ?? 0;
      const below = Math.floor(Math.fround(Math.fround(1 - eta) * next));
      const { alpha, sigma } = pointAt(alphas, below);
      const clean = cleanLatents(prediction, point, latents, modelOutput);
      const out = combine(alpha, clean, sigma, predictedNoise(prediction, point, latents, modelOutput));
      if (eta === 0 || index === timesteps.length - 1) return out;
      const kept = alphas[next]! / alphas[below]!;
      return combine(Math.sqrt(kept), out, Math.sqrt(1 - kept), generator.randn(out.length));
    },
  };
}
