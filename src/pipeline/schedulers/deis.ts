// DEIS, log-rho multistep: the last predictions of the noise as a polynomial in log rho, integrated over rho = sigma / alpha.
// Zhang & Chen 2023, "Fast Sampling of Diffusion Models with Exponential Integrator"; diffusers, scheduling_deis_multistep.py.

import { type LambdaPoint, multistepPrediction, multistepSchedule, solverOrder } from './multistep.js';
import { basisIntegrals } from './polynomials.js';
import { cleanLatents } from './prediction.js';
import { choice, combine, refuse, type Scheduler, type SchedulerConfig, weightedSum } from './schedule.js';

export function deis(config: SchedulerConfig, steps: number): Scheduler {
  refuse(config, 'thresholding');
  // As in diffusers, the names that other classes have for their solvers stand for this class's own.
  choice('algorithm_type', config.algorithm_type, ['deis', 'dpmsolver', 'dpmsolver++'], 'deis');
  choice('solver_type', config.solver_type, ['logrho', 'midpoint', 'heun', 'bh1', 'bh2'], 'logrho');
  const maxOrder = solverOrder('solver_order', config.solver_order);
  const prediction = multistepPrediction(config);
  const { timesteps, sigmas, points } = multistepSchedule(config, steps, { least: 'schedule' });

  const { length } = timesteps;
  const short = (config.lower_order_final ?? true) && length < 15;
  let noises: Float32Array[] = []; // predictions of the noise, newest first

  return {
    timesteps,
    sigmas,
    order: 1,
    addNoise: (latents, noise, index) => combine(points[index]!.alpha, latents, points[index]!.sigma, noise),
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents) {
      const { alpha, sigma } = points[index]!;
      const clean = cleanLatents(prediction, points[index]!, latents, modelOutput);
      noises = [combine(1 / sigma, latents, -alpha / sigma, clean), ...noises].slice(0, maxOrder);
      const order = Math.min(short ? length - index : maxOrder, noises.length);
      const known = points.slice(index + 1 - order, index + 1).reverse();
      return weightedSum(solverWeights(points[index + 1]!, known), [latents, ...noises.slice(0, order)]);
    },
  };
}

/** How much of the latents and of each known prediction, newest first, goes into the next latents. */
function solverWeights(next: LambdaPoint, known: readonly LambdaPoint[]): number[] {
  const lambdas = known.map(({ lambda }) => lambda); // -log rho
  const integrals = basisIntegrals(lambdas, lambdas[0]!, next.lambda, -1);
  return [next.alpha / known[0]!.alpha, ...integrals.map((integral) => -next.sigma * integral)];
}
