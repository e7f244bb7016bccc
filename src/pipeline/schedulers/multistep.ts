// What DPM++ and UniPC share: their grid, and where its points stand. Letters are the papers': lambda is half the log
// signal-to-noise ratio. Source: Lu et al. 2022, "DPM-Solver", section 2; diffusers' set_timesteps.

import { interpolate, karrasSigmas, timestepsOfSigmas } from './noise-schedule.js';
import type { Point } from './prediction.js';
import { type SchedulerConfig, UnsupportedSchedulerError } from './schedule.js';
import { multistepTimesteps } from './timesteps.js';

/** Infinite lambda where the schedule ends without noise. */
export interface LambdaPoint extends Point {
  readonly lambda: number;
}

/**
 * Timesteps, fractional with Karras sigmas, and their sigmas (noise over signal).
 * @param training sigmas of the training timesteps
 * @param train how many of them the grid may use; Karras sigmas use all
 */
export function multistepSchedule(config: SchedulerConfig, steps: number, training: Float64Array, train: number) {
  if (!config.use_karras_sigmas) {
    const timesteps = multistepTimesteps(config, steps, train);
    return { timesteps, sigmas: timesteps.map((t) => interpolate(training, t)) };
  }
  const sigmas = karrasSigmas(config.sigma_max ?? training.at(-1)!, config.sigma_min ?? training[0]!, steps);
  return { timesteps: timestepsOfSigmas(sigmas, training), sigmas };
}

export function lambdaPoint(noiseOverSignal: number): LambdaPoint {
  const ratio = Math.fround(noiseOverSignal);
  const alpha = 1 / Math.sqrt(ratio ** 2 + 1);
  const sigma = ratio * alpha;
  return { alpha, sigma, lambda: Math.log(alpha) - Math.log(sigma) };
}

export function solverOrder(config: SchedulerConfig): 1 | 2 | 3 {
  const order = config.solver_order ?? 2;
  if (order === 1 || order === 2 || order === 3) return order;
  throw new UnsupportedSchedulerError(`solver_order ${order} is not supported (supported: 1, 2, 3)`);
}
