// Euler's method for models of the EDM kind, which are trained on sigmas and not on timesteps.
// Karras et al. 2022, table 1 and algorithm 2 without churn; diffusers, scheduling_edm_euler.py.

import { predictionType } from './prediction.js';
import { choice, combine, finalSigma, type Scheduler, type SchedulerConfig } from './schedule.js';
import { slopeAt } from './sigma-form.js';
import { spreadSigmas } from './sigma-spread.js';

export function edmEuler(config: SchedulerConfig, steps: number): Scheduler {
  const prediction = predictionType(config, ['epsilon', 'v_prediction']);
  const data = config.sigma_data ?? 0.5;
  const spread = choice('sigma_schedule', config.sigma_schedule, ['karras', 'exponential'], 'karras');
  const points = spreadSigmas(spread, config.sigma_max ?? 80, config.sigma_min ?? 0.002, steps, config.rho);
  const sigmas = Float64Array.of(...points, finalSigma(config, points.at(-1)!)).map(Math.fround);

  return {
    timesteps: sigmas.slice(0, steps).map((sigma) => Math.fround(0.25 * Math.log(sigma))),
    sigmas,
    order: 1,
    addNoise: (latents, noise, index) => combine(1, latents, sigmas[index]!, noise),
    scaleModelInput(latents, index) {
      const scale = 1 / Math.sqrt(sigmas[index]! ** 2 + data ** 2);
      return latents.map((x) => x * scale);
    },
    step(modelOutput, index, latents) {
      const sigma = sigmas[index]!;
      const variance = sigma ** 2 + data ** 2;
      const out = ((prediction === 'epsilon' ? sigma : -sigma) * data) / Math.sqrt(variance);
      const clean = combine(data ** 2 / variance, latents, out, modelOutput);
      return combine(1, latents, sigmas[index + 1]! - sigma, slopeAt(sigma, latents, clean));
    },
  };
}
