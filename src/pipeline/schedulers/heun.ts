// Heun's method: a step of Euler's, then the same step again along the mean of both ends' slopes.
// Karras et al. 2022, algorithm 1; diffusers, scheduling_heun_discrete.py.

import { clipper, predictionType } from './prediction.js';
import { combine, type Scheduler, type SchedulerConfig } from './schedule.js';
import { cleanAt, scaleInput, sigmaSchedule, slopeAt } from './sigma-form.js';

const defaults = { beta_start: 0.00085, beta_end: 0.012 };

export function heun(given: SchedulerConfig, steps: number): Scheduler {
  const config = { ...defaults, ...given };
  const prediction = predictionType(config);
  const clip = clipper(config, false);
  const solver = heunSolver(sigmaSchedule(config, steps), (sigma, latents, modelOutput) =>
    clip(cleanAt(prediction, sigma, latents, modelOutput)),
  );
  const { sigmas } = solver;
  return {
    ...solver,
    addNoise: (latents, noise, index) => combine(1, latents, sigmas[index]!, noise),
    scaleModelInput: (latents, index) => scaleInput(latents, sigmas[index]!),
  };
}

/**
 * The method itself, for any process whose latents change by (latents - clean) / sigma.
 * @param schedule with one sigma more than timesteps
 */
export function heunSolver(
  schedule: { timesteps: Float64Array; sigmas: Float64Array },
  cleanAt: (sigma: number, latents: Float32Array, modelOutput: Float32Array) => Float32Array,
): Pick<Scheduler, 'timesteps' | 'order' | 'step'> & { sigmas: Float64Array } {
  const count = 2 * schedule.timesteps.length - 1;
  // Every point but the first is met twice: as a step's end, and as the next one's beginning.
  const timesteps = Float64Array.from({ length: count }, (_, k) => schedule.timesteps[Math.ceil(k / 2)]!);
  const sigmas = Float64Array.from({ length: count + 1 }, (_, k) => schedule.sigmas[Math.ceil(k / 2)]!);
  let start: { latents: Float32Array; slope: Float32Array } | undefined;
  return {
    timesteps,
    sigmas,
    order: 2,
    step(modelOutput, index, latents) {
      const sigma = sigmas[index]!;
      const slope = slopeAt(sigma, latents, cleanAt(sigma, latents, modelOutput));
      if (!start) {
        start = { latents, slope };
        return combine(1, latents, sigmas[index + 1]! - sigma, slope);
      }
      const { latents: startLatents, slope: startSlope } = start;
      start = undefined;
      return combine(1, startLatents, sigma - sigmas[index - 1]!, combine(0.5, startSlope, 0.5, slope));
    },
  };
}
