// DPM-Solver++, singlestep: steps come in groups of one, two and three, and each is taken from where its group began.
// Lu et al. 2022, "DPM-Solver++", algorithm 1; diffusers, scheduling_dpmsolver_singlestep.py.

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

export function dpmppSinglestep(config: SchedulerConfig, steps: number): Scheduler {
  refuse(config, 'thresholding');
  refuseLearnedVariance(config);
  const { sde, heun } = solverChoices(config);
  const maxOrder = solverOrder('solver_order', config.solver_order);
  const prediction = multistepPrediction(config);
  const { timesteps, sigmas, points } = multistepSchedule(config, steps, { least: 'training' });
  const orders = stepOrders(config, steps, maxOrder);

  let cleans: Float32Array[] = []; // predictions of the clean latents, newest first
  let start: Float32Array; // the latents where the group began

  return {
    timesteps,
    sigmas,
    order: 1,
    addNoise: (latents, noise, index) => combine(points[index]!.alpha, latents, points[index]!.sigma, noise),
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents, generator) {
      cleans = [cleanLatents(prediction, points[index]!, latents, modelOutput), ...cleans].slice(0, maxOrder);
      const order = Math.min(orders[index]!, cleans.length);
      if (order === 1) start = latents;
      const known = points.slice(index + 1 - order, index + 1).reverse();
      const weights = solverWeights(points[index + 1]!, known, sde, heun);
      const arrays = [start, ...cleans.slice(0, order)];
      if (sde) arrays.push(generator.randn(latents.length));
      return weightedSum(weights, arrays);
    },
  };
}

/** The order of each step: groups rise to the solver's order, and the schedule's end is of a lower one (get_order_list). */
function stepOrders(config: SchedulerConfig, steps: number, maxOrder: number): number[] {
  const endsWithoutNoise = config.final_sigmas_type !== 'sigma_min';
  // As in diffusers, which changes the config where it does not fit.
  const lowersEnd = config.lower_order_final || steps % maxOrder !== 0 || endsWithoutNoise;
  const orders = Array.from({ length: steps }, (_, i) => (i % maxOrder) + 1);
  // A last group that is whole would end in the full order.
  if (lowersEnd && maxOrder > 1 && steps % maxOrder === 0) orders[steps - 1] = 1;
  if (endsWithoutNoise) orders[steps - 1] = 1;
  return orders;
}

/**
 * How much of the group's first latents, of each known prediction (newest first) and of fresh noise (SDE only) goes into the next latents.
 * @param known points of the predictions, newest first: as many as the order of the step, the last being where the group began
 */
function solverWeights(next: LambdaPoint, known: readonly LambdaPoint[], sde: boolean, heun: boolean): number[] {
  const from = known.at(-1)!;
  const { latents, clean, midpoint, first, second, noise } = solverTerms(from, next, sde);
  if (known.length === 1) return [latents, clean, ...noise];

  const h = next.lambda - from.lambda;
  const [r0, r1] = known.map((point) => (point.lambda - from.lambda) / h) as [number, number];
  if (known.length === 2) {
    const slope = (heun ? first : midpoint) / r0;
    return [latents, slope, clean - slope, ...noise];
  }
  // Of the differences of predictions 0 and 1 from the group's first.
  const [newer, older] = heun
    ? [(2 * second - first * r1) / (r0 - r1) / r0, (first * r0 - 2 * second) / (r0 - r1) / r1]
    : [first / r0, 0];
  return [latents, newer, older, clean - newer - older, ...noise];
}
