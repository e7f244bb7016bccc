// A request's schedule: its scheduler, and how much of it runs.

import type { ScheduleKind } from '../../model-facts.js';
import { requireFit } from './classes.js';
import { consistencyPlaces } from './consistency.js';
import { type FlowRequest, flowOf, shiftOf } from './flow-sigmas.js';
import { lcm } from './lcm.js';
import { predictionType } from './prediction.js';
import { type Scheduler, type SchedulerConfig, trainTimesteps, UnsupportedSchedulerError } from './schedule.js';
import { entryOf, type SchedulerName } from './table.js';

export { fittingSchedulers, requireFit, schedulerForClass } from './classes.js';
export type { FlowRequest } from './flow-sigmas.js';
export { type SchedulerName, schedulerNames } from './table.js';

/** What of a request decides its schedule. */
export interface ScheduleRequest {
  readonly scheduler: SchedulerName;
  /** Length of the full schedule, at least 1. */
  readonly steps: number;
  /** 0..1 */
  readonly strength: number;
  /** What the pipeline of a flow matching model gives; if absent, what follows from the config and the picture. */
  readonly flow?: FlowRequest;
  /** The picture's size, which decides a dynamic shift; where it is absent, how much runs is the same. */
  readonly pixels?: { readonly width: number; readonly height: number };
}

/** A request's scheduler, and the part of its timesteps that runs. */
export interface Schedule {
  readonly scheduler: Scheduler;
  /** Where in the timesteps the request begins; at their end when its strength comes to no step. */
  readonly begin: number;
  /** Positions of the schedule that run. */
  readonly stepsRun: number;
  /** Timesteps that run; more than `stepsRun` for PNDM (one more) and Heun (two for each but the last). */
  readonly unetCalls: number;
}

/**
 * @param config of the model folder; as in diffusers' `from_config`, it also serves a class that it was not written for
 * @param kind `consistency`: as in diffusers' LCM pipelines; `whole`: as at strength 1
 * @throws UnsupportedSchedulerError when the folder's config or the request asks for what cannot be
 */
export function createSchedule(
  { scheduler: name, steps, pixels, flow, ...request }: ScheduleRequest,
  config: SchedulerConfig,
  kind: ScheduleKind = 'part',
): Schedule {
  const latentConsistency = kind === 'consistency';
  const strength = kind === 'whole' ? 1 : request.strength;
  if (latentConsistency && name !== 'lcm') {
    throw new UnsupportedSchedulerError(
      `a latent consistency model runs with the scheduler lcm only, not with ${name}`,
    );
  }
  requireFit(name, config);
  const spread = latentConsistency && consistencyPlaces(config, strength) > 0;
  const scheduler = spread
    ? lcm(config, steps, strength)
    : createScheduler(name, config, steps, flow ?? flowOf(config, pixels));
  const positions = entryOf(name).kind === 'flow' ? flowStepsToRun : stepsToRun;
  const stepsRun = spread ? steps : latentConsistency ? 0 : positions(steps, strength);
  const { timesteps, order } = scheduler;
  // From the scheduler's own count: trailing spacing may have one timestep more than steps (61 gives 62).
  const begin = stepsRun === 0 ? timesteps.length : order * (steps - stepsRun);
  requireSignal(name, config, timesteps.subarray(begin));
  return { scheduler, begin, stepsRun, unetCalls: timesteps.length - begin };
}

/** A prediction of the noise says nothing about latents that are nothing but noise: diffusers divides by zero there. */
function requireSignal(name: SchedulerName, config: SchedulerConfig, timesteps: Float64Array): void {
  const { reachesZeroSnr } = entryOf(name);
  if (!reachesZeroSnr || !config.rescale_betas_zero_snr || predictionType(config) !== 'epsilon') return;
  const last = trainTimesteps(config) - 1;
  if (!timesteps.some((t) => t === last || t === -1)) return; // -1: the last one too, see pointAt
  throw new UnsupportedSchedulerError(
    `rescale_betas_zero_snr and prediction_type "epsilon" do not go together at timestep ${last}, which this schedule has`,
  );
}

/** A scheduler for one request, over the whole of its schedule. */
export function createScheduler(
  name: SchedulerName,
  config: SchedulerConfig,
  steps: number,
  flow: FlowRequest = {},
): Scheduler {
  const train = trainTimesteps(config);
  if (steps > train) {
    throw new UnsupportedSchedulerError(`steps is ${steps}; the model has ${train} timesteps`, 'steps');
  }
  const { make, settings, lacks, flows, kind = 'noise' } = entryOf(name);
  const own = { ...config, ...lacks, ...settings };
  const shift = flows && { flow_shift: shiftOf(own, flow.mu, own.flow_shift) };
  const scheduler = make({ ...own, ...shift }, steps, flow);
  if (kind !== 'noise' || scheduler.timesteps.every((t) => t < train)) return scheduler;
  throw new UnsupportedSchedulerError(
    `steps is ${steps}; with steps_offset ${config.steps_offset} that leads beyond the model's ${train} timesteps`,
    'steps',
  );
}

/** Positions of the schedule that a strength runs (diffusers' get_timesteps). */
export function stepsToRun(steps: number, strength: number): number {
  return Math.min(Math.trunc(steps * strength), steps);
}

/** The same for flow matching models, whose pipelines round the other way: what is left out is whole. */
function flowStepsToRun(steps: number, strength: number): number {
  return steps - Math.trunc(Math.max(steps - Math.min(steps * strength, steps), 0));
}
