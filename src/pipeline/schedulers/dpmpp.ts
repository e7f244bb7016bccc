// DPM-Solver++, multistep. Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
// algorithm 2, with the SDE variant of section 5 and appendix A's third order; diffusers, scheduling_dpmsolver_multistep.py.

import { type LambdaPoint, lambdaPoint, multistepSchedule, solverOrder } from './multistep.js';
import { trainingSigmas } from './noise-schedule.js';
import { cleanLatents, predictionType } from './prediction.js';
import {
  choice,
  combine,
  refuse,
  type Scheduler,
  type SchedulerConfig,
  UnsupportedSchedulerError,
  weightedSum,
} from './schedule.js';
import { roundHalfEven } from './timesteps.js';

export function dpmpp(config: SchedulerConfig, steps: number): Scheduler {
  refuse(config, 'thresholding', 'use_beta_sigmas', 'use_exponential_sigmas', 'use_lu_lambdas', 'use_flow_sigmas');
  if (config.variance_type?.startsWith('learned')) {
    throw new UnsupportedSchedulerError(`variance_type "${config.variance_type}" is not supported`);
  }
  const algorithms = ['dpmsolver++', 'sde-dpmsolver++'] as const;
  // As in diffusers, the names that other classes have for their solvers stand for this class's own.
  const solvers = ['midpoint', 'heun', 'logrho', 'bh1', 'bh2'] as const;
  const sde = choice('algorithm_type', config.algorithm_type, algorithms, 'dpmsolver++') === 'sde-dpmsolver++';
  const heun = choice('solver_type', config.solver_type, solvers, 'midpoint') === 'heun';
  const maxOrder = solverOrder(config);
  const prediction = predictionType(config);
  const { timesteps, points } = dpmSchedule(config, steps);

  const { length } = timesteps;
  const short = (config.lower_order_final ?? true) && length < 15;
  const endsInFirstOrder = (config.euler_at_final ?? false) || short || points[length]!.sigma === 0;
  let cleans: Float32Array[] = []; // predictions of the clean latents, newest first

  return {
    timesteps,
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

/** Whole timesteps and their points, the one after the last being where the schedule ends. */
function dpmSchedule(config: SchedulerConfig, steps: number) {
  const training = trainingSigmas(config);
  const final = choice('final_sigmas_type', config.final_sigmas_type, ['zero', 'sigma_min'], 'zero');
  // Timesteps noisier than the config's least lambda are left out; lambda is -log of noise over signal.
  const least = config.lambda_min_clipped ?? Number.NEGATIVE_INFINITY;
  const train = training.filter((sigma) => -Math.log(sigma) >= least).length;
  const { timesteps, sigmas } = multistepSchedule(config, steps, training, train);
  const whole = config.beta_schedule === 'squaredcos_cap_v2' ? Math.trunc : roundHalfEven;
  const ends = [...sigmas, final === 'zero' ? 0 : training[0]!];
  return { timesteps: timesteps.map(whole), points: ends.map(lambdaPoint) };
}

/**
 * How much of the latents, of each known prediction (newest first) and of fresh noise (SDE only) goes into the next latents.
 * @param known points of the predictions, newest first: as many as the order of the step
 */
function solverWeights(next: LambdaPoint, known: readonly LambdaPoint[], sde: boolean, heun: boolean): number[] {
  const [s0, s1, s2] = known as [LambdaPoint, LambdaPoint?, LambdaPoint?];
  const h = next.lambda - s0.lambda; // infinite where the schedule ends without noise
  const span = sde ? 2 * h : h;
  const phi = -Math.expm1(-span);
  const latents = (next.sigma / s0.sigma) * (sde ? Math.exp(-h) : 1);
  const noise = sde ? [next.sigma * Math.sqrt(-Math.expm1(-2 * h))] : [];
  if (!s1) return [latents, next.alpha * phi, ...noise];

  const first = next.alpha * (heun || s2 ? 1 - phi / span : phi / 2); // of the first difference, D1
  const inverse0 = h / (s0.lambda - s1.lambda);
  if (!s2) return [latents, next.alpha * phi + first * inverse0, -first * inverse0, ...noise];

  const inverse1 = h / (s1.lambda - s2.lambda);
  const [r0, r1] = [1 / inverse0, 1 / inverse1];
  // diffusers has the half with this sign for the SDE too, where the paper's expansion has the other one.
  const second = next.alpha * ((phi - span) / span ** 2 + (sde ? -0.5 : 0.5)); // of the second difference, D2
  const newer = (first * (1 + r0 / (r0 + r1)) + second / (r0 + r1)) * inverse0; // of prediction 0 - prediction 1
  const older = -((first * r0 + second) / (r0 + r1)) * inverse1; // of prediction 1 - prediction 2
  return [latents, next.alpha * phi + newer, older - newer, -older, ...noise];
}
