// Heun's method: a step of Euler's, then the same step again along the mean of both ends' slopes.
// Karras et al. 2022, algorithm 1; diffusers, scheduling_heun_discrete.py.

import { clipper, predictionType } from './prediction.js';
import { combine, refuse, type Scheduler, type SchedulerConfig } from './schedule.js';
import { cleanAt, scaleInput, sigmaSchedule, slopeAt } from './sigma-form.js';

const defaults = { beta_start: 0.00085, beta_end: 0.012 };

export function heun(given: SchedulerConfig, steps: number): Scheduler {
  const config = { ...defaults, ...given, rescale_betas_zero_snr: false }; // the last is no key of the class
  refuse(config, 'use_beta_sigmas', 'use_exponential_sigmas');
  const prediction = predictionType(config);
  const clip = clipper(config, false);
  const schedule = sigmaSchedule(config, steps);
  // Every point but the first is met twice: as a step's end, and as the next one's beginning.
  const [timesteps, sigmas] = [schedule.timesteps, schedule.sigmas].map((points) =>
    Float64Array.from({ length: 2 * points.length - 1 }, (_, k) => points[Math.ceil(k / 2)]!),
  ) as [Float64Array, Float64Array];

  let start: { latents: Float32Array; slope: Float32Array } | undefined;

  return {
    timesteps,
    order: 2,
    addNoise: (latents, noise, index) => combine(1, latents, sigmas[index]!, noise),
    scaleModelInput: (latents, index) => scaleInput(latents, sigmas[index]!),
    step(modelOutput, index, latents) {
      const sigma = sigmas[index]!;
      const slope = slopeAt(sigma, latents, clip(cleanAt(prediction, sigma, latents, modelOutput)));
      if (!start) {
        start = { latents, slope };
        return combine(1, latents, (sigmas[index + 1] ?? 0) - sigma, slope);
      }
      const { latents: startLatents, slope: startSlope } = start;
      start = undefined;
      return combine(1, startLatents, sigma - sigmas[index - 1]!, combine(0.5, startSlope, 0.5, slope));
    },
  };
}
