// SA-Solver: Adams and Bashforth predict, Adams and Moulton correct, with noise added on the way where tau is above 0.
// Xue et al. 2023, "SA-Solver: Stochastic Adams Solver for Fast Sampling of Diffusion Models", algorithm 1; diffusers,
// scheduling_sasolver.py.

import {
  type LambdaPoint,
  multistepPrediction,
  multistepSchedule,
  refuseLearnedVariance,
  solverOrder,
} from './multistep.js';
import { alphasCumprod } from './noise-schedule.js';
import { basisIntegrals } from './polynomials.js';
import { cleanLatents, pointAt, predictedNoise } from './prediction.js';
import { choice, combine, refuse, type Scheduler, type SchedulerConfig, weightedSum } from './schedule.js';

/** diffusers' tau where none is given, and a config, which is data, cannot give one. */
const tauAt = (timestep: number) => (timestep >= 200 && timestep <= 800 ? 1 : 0);

export function saSolver(config: SchedulerConfig, steps: number): Scheduler {
  refuse(config, 'thresholding');
  refuseLearnedVariance(config);
  const algorithm = choice(
    'algorithm_type',
    config.algorithm_type,
    ['data_prediction', 'noise_prediction'],
    'data_prediction',
  );
  const ofData = algorithm === 'data_prediction';
  const predict = ofData ? cleanLatents : predictedNoise;
  const predictorOrder = solverOrder('predictor_order', config.predictor_order, 4);
  const correctorOrder = solverOrder('corrector_order', config.corrector_order, 4);
  const lowerOrderFinal = config.lower_order_final ?? true;
  const prediction = multistepPrediction(config);
  const alphas = alphasCumprod(config);
  const { timesteps, sigmas, points } = multistepSchedule(config, steps, { least: 'schedule' });
  const kept = Math.max(predictorOrder, correctorOrder - 1);

  let predictions: Float32Array[] = []; // newest first
  let last: { latents: Float32Array; noise: Float32Array } | undefined; // what the step before began with, and drew

  return {
    timesteps,
    sigmas,
    order: 1,
    addNoise(latents, noise, index) {
      // As in diffusers, by the timestep, which may be a rounded one, and not by the sigma.
      const { alpha, sigma } = pointAt(alphas, timesteps[index]!);
      return combine(alpha, latents, sigma, noise);
    },
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents, generator) {
      const predicted = predict(prediction, points[index]!, latents, modelOutput);
      const left = timesteps.length - index;
      let start = latents;
      if (last) {
        const limit = lowerOrderFinal ? Math.min(correctorOrder, left + 2) : correctorOrder;
        const order = Math.min(limit, predictions.length + 1);
        const nodes = points.slice(index + 1 - order, index + 1).reverse();
        const weights = stepWeights(
          points[index - 1]!,
          points[index]!,
          nodes,
          tauAt(timesteps[index - 1]!),
          ofData,
          'corrector',
        );
        start = weightedSum(weights, [last.latents, last.noise, predicted, ...predictions.slice(0, order - 1)]);
      }
      predictions = [predicted, ...predictions].slice(0, kept);
      // Drawn at every step, as in diffusers, although nothing of it is added where tau is 0.
      last = { latents: start, noise: generator.randn(latents.length) };
      const limit = lowerOrderFinal ? Math.min(predictorOrder, left) : predictorOrder;
      const order = Math.min(limit, predictions.length);
      const nodes = points.slice(index + 1 - order, index + 1).reverse();
      const weights = stepWeights(
        points[index]!,
        points[index + 1]!,
        nodes,
        tauAt(timesteps[index]!),
        ofData,
        'predictor',
      );
      return weightedSum(weights, [last.latents, last.noise, ...predictions.slice(0, order)]);
    },
  };
}

/**
 * How much of the latents at `from`, of their noise, and of the predictions at each of the nodes, newest first, goes into the latents at
 * `to`. Equations 14 and 17; with two nodes, diffusers' corrections of the paper's appendix for predictions of the data.
 */
function stepWeights(
  from: LambdaPoint,
  to: LambdaPoint,
  nodes: readonly LambdaPoint[],
  tau: number,
  ofData: boolean,
  role: 'predictor' | 'corrector',
): number[] {
  const h = to.lambda - from.lambda;
  const lambdas = nodes.map(({ lambda }) => lambda);
  const rate = 1 + tau ** 2;
  if (!ofData) {
    const integrals = basisIntegrals(lambdas, from.lambda, to.lambda, -1);
    const noise = tau * to.sigma * Math.sqrt(Math.expm1(2 * h));
    return [to.alpha / from.alpha, noise, ...integrals.map((integral) => -rate * to.sigma * integral)];
  }
  const integrals = basisIntegrals(lambdas, from.lambda, to.lambda, rate);
  if (nodes.length === 2) {
    const integral = (h * rate + Math.expm1(-rate * h)) / rate ** 2; // of x e^(rate (x - h)), from 0 to h
    const exact = role === 'predictor' ? (h ** 2 / 2 - integral) / (lambdas[0]! - lambdas[1]!) : h / 2 - integral / h;
    integrals[0]! += exact;
    integrals[1]! -= exact;
  }
  const kept = Math.exp(-(tau ** 2) * h) * (to.sigma / from.sigma);
  const noise = to.sigma * Math.sqrt(-Math.expm1(-2 * tau ** 2 * h));
  return [kept, noise, ...integrals.map((integral) => rate * to.alpha * integral)];
}
