// What DPM++ and UniPC share: their grid, and where its points stand. Letters are the papers': lambda is half the log
// signal-to-noise ratio. Source: Lu et al. 2022, "DPM-Solver", section 2; diffusers' set_timesteps.

import { interpolate, karrasSigmas, timestepsOfSigmas, trainingSigmas } from './noise-schedule.js';
import type { Point } from './prediction.js';
import { choice, type SchedulerConfig } from './schedule.js';
import { multistepTimesteps, roundHalfEven } from './timesteps.js';

/** Infinite lambda where the schedule ends without noise. */
export interface LambdaPoint extends Point {
  readonly lambda: number;
}

/** Whole timesteps and their points, the one after the last being where the schedule ends. */
export function multistepSchedule(
  config: SchedulerConfig,
  steps: number,
): { timesteps: Float64Array; points: readonly LambdaPoint[] } {
  const training = trainingSigmas(config);
  const last = choice('final_sigmas_type', config.final_sigmas_type, ['zero', 'sigma_min'], 'zero');
  let timesteps: Float64Array;
  let sigmas: Float64Array;
  if (config.use_karras_sigmas) {
    sigmas = karrasSigmas(config.sigma_max ?? training.at(-1)!, config.sigma_min ?? training[0]!, steps);
    timesteps = timestepsOfSigmas(sigmas, training).map(roundHalfEven);
  } else {
    timesteps = multistepTimesteps(config, steps);
    sigmas = timesteps.map((t) => interpolate(training, t));
  }
  const ends = Float64Array.of(...sigmas, last === 'zero' ? 0 : training[0]!);
  return { timesteps, points: Array.from(ends, (sigma) => lambdaPoint(Math.fround(sigma))) };
}

function lambdaPoint(ratio: number): LambdaPoint {
  const alpha = 1 / Math.sqrt(ratio ** 2 + 1);
  const sigma = ratio * alpha;
  return { alpha, sigma, lambda: Math.log(alpha) - Math.log(sigma) };
}
