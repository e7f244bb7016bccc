// The noise schedulers by the names that the API uses.

import { ddim } from './ddim.js';
import { dpmpp2m } from './dpmpp-2m.js';
import { euler } from './euler.js';
import { refuseUnsupported, type Scheduler, type SchedulerConfig, UnsupportedSchedulerError } from './schedule.js';

const schedulers = {
  ddim,
  euler: (config, steps) => euler({ ...config, use_karras_sigmas: false }, steps),
  euler_karras: (config, steps) => euler({ ...config, use_karras_sigmas: true }, steps),
  dpmpp_2m: (config, steps) => dpmpp2m({ ...config, use_karras_sigmas: false }, steps),
  dpmpp_2m_karras: (config, steps) => dpmpp2m({ ...config, use_karras_sigmas: true }, steps),
} satisfies Record<string, (config: SchedulerConfig, steps: number) => Scheduler>;

export type SchedulerName = keyof typeof schedulers;

export const schedulerNames = Object.keys(schedulers) as SchedulerName[];

/**
 * A scheduler for one request.
 * @param config of the model folder; as in diffusers' `from_config`, it also serves a class that it was not written for
 * @param steps length of the full schedule, at least 1
 */
export function createScheduler(name: SchedulerName, config: SchedulerConfig, steps: number): Scheduler {
  refuseUnsupported(config);
  return schedulers[name](config, steps);
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
    default:
      throw new UnsupportedSchedulerError(
        `the scheduler class ${className} is not supported (supported: DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler)`,
      );
  }
}
