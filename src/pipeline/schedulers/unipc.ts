// UniPC, a predictor and a corrector from the same predictions. Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework
// for Fast Sampling of Diffusion Models", algorithms 5 to 8 (data prediction); diffusers, scheduling_unipc_multistep.py.

import { unipcFlowSigmas } from './flow-sigmas.js';
import { type LambdaPoint, multistepPrediction, multistepSchedule, solverOrder } from './multistep.js';
import { lagrangeBasis } from './polynomials.js';
import { cleanLatents } from './prediction.js';
import {
  choice,
  combine,
  refuse,
  type Scheduler,
  type SchedulerConfig,
  UnsupportedSchedulerError,
  weightedSum,
} from './schedule.js';

export function unipc(config: SchedulerConfig, steps: number): Scheduler {
  refuse(config, 'thresholding');
  if (config.predict_x0 === false) throw new UnsupportedSchedulerError('predict_x0 false is not supported');
  if (config.solver_p) throw new UnsupportedSchedulerError('solver_p is not supported');
  // As in diffusers, the names that other classes have for their solvers stand for this class's own.
  const solvers = ['bh1', 'bh2', 'midpoint', 'heun', 'logrho'] as const;
  const bh1 = choice('solver_type', config.solver_type, solvers, 'bh2') === 'bh1';
  const maxOrder = solverOrder('solver_order', config.solver_order);
  const lowerOrderFinal = config.lower_order_final ?? true;
  const uncorrected = new Set(config.disable_corrector ?? []);
  const prediction = multistepPrediction(config);
  const { timesteps, sigmas, points } = multistepSchedule(config, steps, {
    least: 'schedule',
    flowSigmas: unipcFlowSigmas,
    karrasFlow: true,
  });
  if (!lowerOrderFinal && maxOrder > 1 && points.at(-1)!.sigma === 0) {
    throw new UnsupportedSchedulerError('lower_order_final false with final_sigmas_type "zero" is not supported');
  }

  let cleans: Float32Array[] = []; // predictions of the clean latents, newest first
  let last: { latents: Float32Array; order: number } | undefined; // what the step before began with

  return {
    timesteps,
    sigmas,
    order: 1,
    addNoise: (latents, noise, index) => combine(points[index]!.alpha, latents, points[index]!.sigma, noise),
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents) {
      const clean = cleanLatents(prediction, points[index]!, latents, modelOutput);
      let corrected = latents;
      if (last && !uncorrected.has(index - 1)) {
        const weights = stepWeights(points, index - 1, last.order, bh1, true);
        corrected = weightedSum(weights, [last.latents, ...cleans.slice(0, last.order), clean]);
      }
      cleans = [clean, ...cleans].slice(0, maxOrder);
      const limit = lowerOrderFinal ? Math.min(maxOrder, timesteps.length - index) : maxOrder;
      const order = Math.min(limit, cleans.length);
      last = { latents: corrected, order };
      return weightedSum(stepWeights(points, index, order, bh1, false), [corrected, ...cleans.slice(0, order)]);
    },
  };
}

/**
 * How much goes into the latents at `points[from + 1]`: of those at `from`, of each known prediction (newest first, as many as
 * the order), and of the prediction where the step arrives (corrector only).
 */
function stepWeights(
  points: readonly LambdaPoint[],
  from: number,
  order: number,
  bh1: boolean,
  corrects: boolean,
): number[] {
  const [start, end] = [points[from]!, points[from + 1]!];
  const h = end.lambda - start.lambda; // infinite where the schedule ends without noise; then the order is 1
  const phi = Math.expm1(-h);
  const b = bh1 ? -h : phi;
  // Where the other predictions are, in units of the step.
  const nodes = Array.from({ length: order - 1 }, (_, k) => (points[from - 1 - k]!.lambda - start.lambda) / h);
  if (corrects) nodes.push(1);
  // One node: the paper's section 3.5 takes a half.
  const rhos = nodes.length === 1 ? [0.5] : solveVandermonde(nodes, moments(nodes.length, h, b));
  const differences = nodes.map((node, k) => (-end.alpha * b * rhos[k]!) / node);
  const newest = -end.alpha * phi - differences.reduce((sum, weight) => sum + weight, 0);
  return [end.sigma / start.sigma, newest, ...differences];
}

/** Equation 10's right side over B(h): k! phi_(k+1)(-h) / B, for k from 1. */
function moments(count: number, h: number, b: number): number[] {
  const result: number[] = [];
  let phi = Math.expm1(-h) / -h - 1;
  for (let k = 1, factorial = 1; k <= count; k++) {
    result.push((phi * factorial) / b);
    factorial *= k + 1;
    phi = phi / -h - 1 / factorial;
  }
  return result;
}

/** The rhos with `sum(rho[k] * node[k]^i) = moments[i]`, by the polynomials that are 1 at one node and 0 at the others. */
function solveVandermonde(nodes: readonly number[], moments: readonly number[]): number[] {
  return nodes.map((_, k) =>
    lagrangeBasis(nodes, k).reduce((sum, coefficient, i) => sum + coefficient * moments[i]!, 0),
  );
}
