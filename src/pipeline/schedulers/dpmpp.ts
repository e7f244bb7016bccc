// DPM-Solver++, multistep. Lu et al. 2022, "DPM-Solver++", algorithm 2; diffusers, scheduling_dpmsolver_multistep.py.

import { solverChoices, solverTerms } from './dpm-solver.js';
import {
  type LambdaPoint,
  multistepPrediction,
  multistepSchedule,
  refuseLearnedVariance,
  solverOrder,
} from './multistep.js';
import { cleanLatents } from './prediction.js';
import { combine, refuse, type Scheduler, type SchedulerConfig, weightedSum } from './schedule.js';
import { roundHalfEven } from './timesteps.js';

export function dpmpp(config: SchedulerConfig, steps: number): Scheduler {
  refuse(config, 'thresholding', 'use_lu_lambdas');
  refuseLearnedVariance(config);
  const { sde, heun } = solverChoices(config);
  const maxOrder = solverOrder('solver_order', config.solver_order);
  const prediction = multistepPrediction(config);
  const whole = config.beta_schedule === 'squaredcos_cap_v2' ? Math.trunc : roundHalfEven;
  const { timesteps, sigmas, points } = multistepSchedule(config, steps, { least: 'training', whole });

  const { length } = timesteps;
  const short = (config.lower_order_final ?? true) && length < 15;
  const endsInFirstOrder = (config.euler_at_final ?? false) || short || points[length]!.sigma === 0;
  let cleans: Float32Array[] = []; // predictions of the clean latents, newest first

  return {
    timesteps,
    sigmas,
    order: 1,
    addNoise: (latents, noise, index) => combine(points[index]!.alpha, latents, points[index]!.sigma, noise),
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents, generator) {
      cleans = [cleanLatents(prediction, points[index]!, latents, modelOutput), ...cleans].slice(0, maxOrder);
      const left = length - index;
      const limit = left === 1 && endsInFirstOrder ? 1 : left === 2 && short ? 2 : maxOrder;
      const order = Math.min(limit, cleans.length);
      const known = points.slice(index + 1 - order, index + 1).reverse();
      const weights = solverWeights(points[index + 1]!, known, sde, heun);
      const arrays = [latents, ...cleans.slice(0, order)];
      if (sde) arrays.push(generator.randn(latents.length));
      return weightedSum(weights, arrays);
    },
  };
}

/**
 * How much of the latents, of each known prediction (newest first) and of fresh noise (SDE only) goes into the next latents.
 * @param known points of the predictions, newest first: as many as the order of the step
 */
function solverWeights(next: LambdaPoint, known: readonly LambdaPoint[], sde: boolean, heun: boolean): number[] {
  const [s0, s1, s2] = known as [LambdaPoint, LambdaPoint?, LambdaPoint?];
  const { latents, clean, midpoint, first, second, noise } = solverTerms(s0, next, sde);
  if (!s1) return [latents, clean, ...noise];

  const h = next.lambda - s0.lambda;
  const inverse0 = h / (s0.lambda - s1.lambda);
  if (!s2) {
    const slope = (heun ? first : midpoint) * inverse0;
    return [latents, clean + slope, -slope, ...noise];
  }
  const inverse1 = h / (s1.lambda - s2.lambda);
  const [r0, r1] = [1 / inverse0, 1 / inverse1];
  const newer = (first * (1 + r0 / (r0 + r1)) + second / (r0 + r1)) * inverse0; // of prediction 0 - prediction 1
  const older = -((first * r0 + second) / (r0 + r1)) * inverse1; // of prediction 1 - prediction 2
  return [latents, clean + newer, older - newer, -older, ...noise];
}
