// The noise schedulers by the names that the API uses.

import { ddim } from './ddim.js';
import { ddpm } from './ddpm.js';
import { deis } from './deis.js';
import { dpm2, dpm2Ancestral } from './dpm2.js';
import { dpmpp } from './dpmpp.js';
import { dpmppSinglestep } from './dpmpp-singlestep.js';
import { edmEuler } from './edm-euler.js';
import { euler } from './euler.js';
import { eulerAncestral } from './euler-ancestral.js';
import { flowEuler } from './flow-euler.js';
import { flowHeun } from './flow-heun.js';
import type { FlowRequest } from './flow-sigmas.js';
import { heun } from './heun.js';
import { lcm } from './lcm.js';
import { lms } from './lms.js';
import { pndm } from './pndm.js';
import { saSolver } from './sa-solver.js';
import type { Scheduler, SchedulerConfig } from './schedule.js';
import { type Spread, spreadSettings, spreads } from './sigma-spread.js';
import { tcd } from './tcd.js';
import { unipc } from './unipc.js';

/** What a model is trained on: timesteps of noise, a flow from noise to pictures, or sigmas (EDM). */
export type Kind = 'noise' | 'flow' | 'edm';

export interface Entry {
  /** diffusers' class. */
  readonly class: string;
  /** What the name says of the config; the config's own value does not count then. */
  readonly settings?: SchedulerConfig;
  /** Keys that the class does not have, with what it does instead: another class's config is no wish. */
  readonly lacks?: SchedulerConfig;
  /** `noise` unless said. */
  readonly kind?: Kind;
  /** The class, made for noise, has use_flow_sigmas and flow_prediction too. */
  readonly flows?: boolean;
  /** A rescale to zero SNR leaves the last timestep without any signal; the other classes keep a little. */
  readonly reachesZeroSnr?: true;
  readonly make: (config: SchedulerConfig, steps: number, flow: FlowRequest) => Scheduler;
}

type SpreadName<Name extends string> = Name | `${Name}_${Exclude<Spread, 'plain'>}`;

/** An entry for each spread of sigmas: `name`, `name_karras`, `name_exponential`, `name_beta`. */
function spread<const Name extends string>(name: Name, entry: Entry, onFlow: readonly Spread[] = ['plain']) {
  const named = (['plain', ...spreads] as const).map((one): [string, Entry] => [
    one === 'plain' ? name : `${name}_${one}`,
    {
      ...entry,
      settings: { ...entry.settings, ...spreadSettings(one) },
      flows: entry.flows === true && onFlow.includes(one),
    },
  ]);
  return Object.fromEntries(named) as Record<SpreadName<Name>, Entry>;
}

const noZeroSnr = { rescale_betas_zero_snr: false };
const ode = { algorithm_type: 'dpmsolver++' };
const sde = { algorithm_type: 'sde-dpmsolver++' };
/** The classes whose schedule ends at its least sigma. */
const noEnd = { final_sigmas_type: 'sigma_min' };

const dpmMultistep = { class: 'DPMSolverMultistepScheduler', flows: true, make: dpmpp } as const;

export const schedulers = {
  ddim: { class: 'DDIMScheduler', reachesZeroSnr: true, make: ddim },
  ddpm: { class: 'DDPMScheduler', reachesZeroSnr: true, make: ddpm },
  pndm: { class: 'PNDMScheduler', settings: { skip_prk_steps: true }, lacks: noZeroSnr, make: pndm },
  lcm: { class: 'LCMScheduler', reachesZeroSnr: true, make: (config, steps) => lcm(config, steps) },
  tcd: { class: 'TCDScheduler', reachesZeroSnr: true, make: tcd },
  ...spread('euler', { class: 'EulerDiscreteScheduler', make: euler }),
  euler_a: { class: 'EulerAncestralDiscreteScheduler', lacks: spreadSettings('plain'), make: eulerAncestral },
  ...spread('heun', { class: 'HeunDiscreteScheduler', lacks: noZeroSnr, make: heun }),
  ...spread('lms', { class: 'LMSDiscreteScheduler', lacks: noZeroSnr, make: lms }),
  ...spread('dpm2', { class: 'KDPM2DiscreteScheduler', lacks: noZeroSnr, make: dpm2 }),
  ...spread('dpm2_a', { class: 'KDPM2AncestralDiscreteScheduler', lacks: noZeroSnr, make: dpm2Ancestral }),
  ...spread('dpmpp_2m', { ...dpmMultistep, settings: ode }),
  ...spread('dpmpp_2m_sde', { ...dpmMultistep, settings: sde }),
  ...spread('dpmpp_singlestep', {
    class: 'DPMSolverSinglestepScheduler',
    lacks: { ...noZeroSnr, timestep_spacing: 'linspace' },
    flows: true,
    make: dpmppSinglestep,
  }),
  ...spread(
    'unipc',
    { class: 'UniPCMultistepScheduler', lacks: { lambda_min_clipped: null }, flows: true, make: unipc },
    ['plain', 'karras'],
  ),
  ...spread('deis', {
    class: 'DEISMultistepScheduler',
    lacks: { ...noZeroSnr, ...noEnd, lambda_min_clipped: null },
    flows: true,
    make: deis,
  }),
  ...spread('sa_solver', {
    class: 'SASolverScheduler',
    lacks: { ...noZeroSnr, ...noEnd, use_dynamic_shifting: false },
    flows: true,
    make: saSolver,
  }),
  edm_euler: { class: 'EDMEulerScheduler', kind: 'edm', make: edmEuler },
  ...spread('flow_euler', { class: 'FlowMatchEulerDiscreteScheduler', kind: 'flow', make: flowEuler }),
  flow_heun: { class: 'FlowMatchHeunDiscreteScheduler', kind: 'flow', make: flowHeun },
} satisfies Record<string, Entry>;

export type SchedulerName = keyof typeof schedulers;

export const schedulerNames = Object.keys(schedulers) as SchedulerName[];

export const entryOf = (name: SchedulerName): Entry => schedulers[name];
