// DPM-Solver++(2M). Lu et al. 2022, "DPM-Solver++", algorithm 2; diffusers, scheduling_dpmsolver_multistep.py.

import { multistepSchedule } from './multistep.js';
import { cleanLatents, predictionType } from './prediction.js';
import {
  choice,
  combine,
  refuse,
  type Scheduler,
  type SchedulerConfig,
  UnsupportedSchedulerError,
} from './schedule.js';

export function dpmpp2m(config: SchedulerConfig, steps: number): Scheduler {
  refuse(config, 'thresholding', 'use_beta_sigmas', 'use_exponential_sigmas', 'use_lu_lambdas', 'use_flow_sigmas');
  if (Number.isFinite(config.lambda_min_clipped ?? Number.NEGATIVE_INFINITY)) {
    throw new UnsupportedSchedulerError('lambda_min_clipped is not supported');
  }
  const order = supportedOrder(config);
  const prediction = predictionType(config);
  const solver = choice('solver_type', config.solver_type, ['midpoint', 'heun'], 'midpoint');
  const { timesteps, points } = multistepSchedule(config, steps);
  // The one thing that a step needs of the step before it.
  let previousX0: Float32Array | undefined;

  const endsInFirstOrder =
    (config.euler_at_final ?? false) ||
    ((config.lower_order_final ?? true) && timesteps.length < 15) ||
    points.at(-1)!.sigma === 0;

  return {
    timesteps,
    order: 1,
    addNoise: (latents, noise, index) => combine(points[index]!.alpha, latents, points[index]!.sigma, noise),
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents) {
      const [s, t] = [points[index]!, points[index + 1]!];
      const x0 = cleanLatents(prediction, s, latents, modelOutput);
      const h = t.lambda - s.lambda;
      const decay = Math.exp(-h) - 1; // -1 where the schedule ends at sigma 0, lambda being infinite there
      const out = combine(t.sigma / s.sigma, latents, -t.alpha * decay, x0);
      const last = index === timesteps.length - 1;
      if (order === 2 && previousX0 && !(last && endsInFirstOrder)) {
        const h0 = s.lambda - points[index - 1]!.lambda;
        const weight = solver === 'midpoint' ? -0.5 * t.alpha * decay : t.alpha * (decay / h + 1);
        for (let i = 0; i < out.length; i++) out[i]! += weight * (h / h0) * (x0[i]! - previousX0[i]!);
      }
      previousX0 = x0;
      return out;
    },
  };
}

function supportedOrder(config: SchedulerConfig): 1 | 2 {
  choice('algorithm_type', config.algorithm_type, ['dpmsolver++'], 'dpmsolver++');
  const order = config.solver_order ?? 2;
  if (order === 1 || order === 2) return order;
  throw new UnsupportedSchedulerError(`solver_order ${order} is not supported (supported: 1, 2)`);
}
