// The noise schedulers by the names that the API uses.

import { ddim } from './ddim.js';
import { dpmpp2m } from './dpmpp-2m.js';
import { euler } from './euler.js';
import { lcm, lcmPlaces } from './lcm.js';
import { type Scheduler, type SchedulerConfig, trainTimesteps, UnsupportedSchedulerError } from './schedule.js';

type Make = (config: SchedulerConfig, steps: number) => Scheduler;

const schedulers = {
  ddim,
  euler: (config, steps) => euler({ ...config, use_karras_sigmas: false }, steps),
  euler_karras: (config, steps) => euler({ ...config, use_karras_sigmas: true }, steps),
  dpmpp_2m: (config, steps) => dpmpp2m({ ...config, use_karras_sigmas: false }, steps),
  dpmpp_2m_karras: (config, steps) => dpmpp2m({ ...config, use_karras_sigmas: true }, steps),
  lcm: (config, steps) => lcm(config, steps),
} satisfies Record<string, Make>;

export type SchedulerName = keyof typeof schedulers;

export const schedulerNames = Object.keys(schedulers) as SchedulerName[];

/** What of a request decides its schedule. */
export interface ScheduleRequest {
  readonly scheduler: SchedulerName;
  /** Length of the full schedule, at least 1. */
  readonly steps: number;
  /** 0..1 */
  readonly strength: number;
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
 * @param latentConsistency as in diffusers' LCM pipelines all steps run, over the part of the training grid that the strength leaves
 * @throws UnsupportedSchedulerError when the folder's config or the request asks for what cannot be
 */
export function createSchedule(
  { scheduler: name, steps, strength }: ScheduleRequest,
  config: SchedulerConfig,
  latentConsistency = false,
): Schedule {
  if (latentConsistency && name !== 'lcm') {
    throw new UnsupportedSchedulerError(
      `a latent consistency model runs with the scheduler lcm only, not with ${name}`,
    );
  }
  if (latentConsistency && lcmPlaces(config, strength) > 0) {
    return { scheduler: lcm(config, steps, strength), begin: 0, stepsRun: steps, unetCalls: steps };
  }
  const scheduler = createScheduler(name, config, steps);
  const { timesteps, order } = scheduler;
  const stepsRun = latentConsistency ? 0 : stepsToRun(steps, strength);
  // From the scheduler's own count: trailing spacing may have one timestep more than steps (61 gives 62).
  const begin = stepsRun === 0 ? timesteps.length : order * (steps - stepsRun);
  return { scheduler, begin, stepsRun, unetCalls: timesteps.length - begin };
}

/** A scheduler for one request, over the whole of its schedule. */
export function createScheduler(name: SchedulerName, config: SchedulerConfig, steps: number): Scheduler {
  const train = trainTimesteps(config);
  if (steps > train) {
    throw new UnsupportedSchedulerError(`steps is ${steps}; the model has ${train} timesteps`, 'steps');
  }
  const scheduler = schedulers[name](config, steps);
  if (scheduler.timesteps.every((t) => t < train)) return scheduler;
  throw new UnsupportedSchedulerError(
    `steps is ${steps}; with steps_offset ${config.steps_offset} that leads beyond the model's ${train} timesteps`,
    'steps',
  );
}

/** Positions of the schedule that a strength runs (diffusers' get_timesteps). */
export function stepsToRun(steps: number, strength: number): number {
  return Math.min(Math.trunc(steps * strength), steps);
}

/** Which of our names is meant by the class that a scheduler_config.json names. */
export function schedulerForClass(className: string, config: SchedulerConfig): SchedulerName {
  switch (className) {
    case 'DDIMScheduler':
      return 'ddim';
    case 'EulerDiscreteScheduler':
      return config.use_karras_sigmas ? 'euler_karras' : 'euler';
    case 'DPMSolverMultistepScheduler':
      return config.use_karras_sigmas ? 'dpmpp_2m_karras' : 'dpmpp_2m';
    case 'LCMScheduler':
      return 'lcm';
    default:
      throw new UnsupportedSchedulerError(
        `the scheduler class ${className} is not supported (supported: DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler, LCMScheduler)`,
      );
  }
}
