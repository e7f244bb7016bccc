// The terms of DPM-Solver++, which its multistep and its singlestep form weigh differently. Lu et al. 2022, "DPM-Solver++: Fast Solver
// for Guided Sampling of Diffusion Probabilistic Models", section 4, with the SDE variant of section 5 and appendix A's third order.

import type { LambdaPoint } from './multistep.js';
import { choice, type SchedulerConfig } from './schedule.js';

export interface Terms {
  /** How much of the latents goes into the next ones. */
  readonly latents: number;
  /** Of a prediction of the clean latents that does not change on the way. */
  readonly clean: number;
  /** Of its first derivative, times the step: by the midpoint's rule, and in full. */
  readonly midpoint: number;
  readonly first: number;
  /** Of its second derivative, times the square of the step. */
  readonly second: number;
  /** Of fresh noise; none in an ODE. */
  readonly noise: readonly number[];
}

export function solverTerms(from: LambdaPoint, to: LambdaPoint, sde: boolean): Terms {
  const h = to.lambda - from.lambda; // infinite where the schedule ends without noise
  const span = sde ? 2 * h : h;
  const phi = -Math.expm1(-span);
  return {
    latents: (to.sigma / from.sigma) * (sde ? Math.exp(-h) : 1),
    clean: to.alpha * phi,
    midpoint: (to.alpha * phi) / 2,
    first: to.alpha * (1 - phi / span),
    // diffusers has the half with this sign for the SDE too, where the paper's expansion has the other one.
    second: to.alpha * ((phi - span) / span ** 2 + (sde ? -0.5 : 0.5)),
    noise: sde ? [to.sigma * Math.sqrt(-Math.expm1(-2 * h))] : [],
  };
}

/** What a config says of the solver: an SDE or the ODE, and Heun's rule or the midpoint's. */
export function solverChoices(config: SchedulerConfig): { sde: boolean; heun: boolean } {
  const algorithms = ['dpmsolver++', 'sde-dpmsolver++', 'deis'] as const;
  // As in diffusers, the names that other classes have for their solvers stand for this class's own.
  const solvers = ['midpoint', 'heun', 'logrho', 'bh1', 'bh2'] as const;
  return {
    sde: choice('algorithm_type', config.algorithm_type, algorithms, 'dpmsolver++') === 'sde-dpmsolver++',
    heun: choice('solver_type', config.solver_type, solvers, 'midpoint') === 'heun',
  };
}
