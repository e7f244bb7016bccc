// The noise schedulers by the names that the API uses.

import { ddim } from './ddim.js';
import { ddpm } from './ddpm.js';
import { dpmpp } from './dpmpp.js';
import { euler } from './euler.js';
import { eulerAncestral } from './euler-ancestral.js';
import { heun } from './heun.js';
import { lcm, lcmPlaces } from './lcm.js';
import { pndm } from './pndm.js';
import { predictionType } from './prediction.js';
import { type Scheduler, type SchedulerConfig, trainTimesteps, UnsupportedSchedulerError } from './schedule.js';
import { unipc } from './unipc.js';

interface Entry {
  /** diffusers' class. */
  readonly class: string;
  /** What the name says of the config; the config's own value does not count then. */
  readonly settings?: SchedulerConfig;
  /** A rescale to zero SNR leaves the last timestep without any signal; the other classes keep a little. */
  readonly reachesZeroSnr?: true;
  readonly make: (config: SchedulerConfig, steps: number) => Scheduler;
}

const plain = { use_karras_sigmas: false };
const karras = { use_karras_sigmas: true };
const ode = { algorithm_type: 'dpmsolver++' };
const sde = { algorithm_type: 'sde-dpmsolver++' };

const schedulers = {
  ddim: { class: 'DDIMScheduler', reachesZeroSnr: true, make: ddim },
  ddpm: { class: 'DDPMScheduler', reachesZeroSnr: true, make: ddpm },
  pndm: { class: 'PNDMScheduler', settings: { skip_prk_steps: true }, make: pndm },
  euler: { class: 'EulerDiscreteScheduler', settings: plain, make: euler },
  euler_karras: { class: 'EulerDiscreteScheduler', settings: karras, make: euler },
  euler_a: { class: 'EulerAncestralDiscreteScheduler', make: eulerAncestral },
  heun: { class: 'HeunDiscreteScheduler', make: heun },
  dpmpp_2m: { class: 'DPMSolverMultistepScheduler', settings: { ...ode, ...plain }, make: dpmpp },
  dpmpp_2m_karras: { class: 'DPMSolverMultistepScheduler', settings: { ...ode, ...karras }, make: dpmpp },
  dpmpp_2m_sde: { class: 'DPMSolverMultistepScheduler', settings: { ...sde, ...plain }, make: dpmpp },
  dpmpp_2m_sde_karras: { class: 'DPMSolverMultistepScheduler', settings: { ...sde, ...karras }, make: dpmpp },
  unipc: { class: 'UniPCMultistepScheduler', settings: plain, make: unipc },
  unipc_karras: { class: 'UniPCMultistepScheduler', settings: karras, make: unipc },
  lcm: { class: 'LCMScheduler', reachesZeroSnr: true, make: lcm },
} satisfies Record<string, Entry>;

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
  const spread = latentConsistency && lcmPlaces(config, strength) > 0;
  const scheduler = spread ? lcm(config, steps, strength) : createScheduler(name, config, steps);
  const stepsRun = spread ? steps : latentConsistency ? 0 : stepsToRun(steps, strength);
  const { timesteps, order } = scheduler;
  // From the scheduler's own count: trailing spacing may have one timestep more than steps (61 gives 62).
  const begin = stepsRun === 0 ? timesteps.length : order * (steps - stepsRun);
  requireSignal(name, config, timesteps.subarray(begin));
  return { scheduler, begin, stepsRun, unetCalls: timesteps.length - begin };
}

/** A prediction of the noise says nothing about latents that are nothing but noise: diffusers divides by zero there. */
function requireSignal(name: SchedulerName, config: SchedulerConfig, timesteps: Float64Array): void {
  const { reachesZeroSnr }: Entry = schedulers[name];
  if (!reachesZeroSnr || !config.rescale_betas_zero_snr || predictionType(config) !== 'epsilon') return;
  const last = trainTimesteps(config) - 1;
  if (!timesteps.some((t) => t === last || t === -1)) return; // -1: the last one too, see pointAt
  throw new UnsupportedSchedulerError(
    `rescale_betas_zero_snr and prediction_type "epsilon" do not go together at timestep ${last}, which this schedule has`,
  );
}

/** A scheduler for one request, over the whole of its schedule. */
export function createScheduler(name: SchedulerName, config: SchedulerConfig, steps: number): Scheduler {
  const train = trainTimesteps(config);
  if (steps > train) {
    throw new UnsupportedSchedulerError(`steps is ${steps}; the model has ${train} timesteps`, 'steps');
  }
  const { make, settings }: Entry = schedulers[name];
  const scheduler = make({ ...config, ...settings }, steps);
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

/** What the classes take where a config says nothing. */
const absent: SchedulerConfig = { ...plain, ...ode, skip_prk_steps: false };

/** Which of our names is meant by the class that a scheduler_config.json names. */
export function schedulerForClass(className: string, config: SchedulerConfig): SchedulerName {
  const entries = Object.entries(schedulers) as [SchedulerName, Entry][];
  const ofClass = entries.filter(([, entry]) => entry.class === className);
  if (ofClass.length === 0) {
    const known = [...new Set(entries.map(([, entry]) => entry.class))].join(', ');
    throw new UnsupportedSchedulerError(`the scheduler class ${className} is not supported (supported: ${known})`);
  }
  const value = (key: keyof SchedulerConfig) => config[key] ?? absent[key];
  const keysOf = (settings: SchedulerConfig = {}) => Object.keys(settings) as (keyof SchedulerConfig)[];
  const found = ofClass.find(([, { settings }]) => keysOf(settings).every((key) => settings![key] === value(key)));
  if (found) return found[0];
  const told = keysOf(ofClass[0]![1].settings).map((key) => `${key} ${JSON.stringify(value(key))}`);
  throw new UnsupportedSchedulerError(`${className} with ${told.join(' and ')} is not supported`);
}
