// The samplers and schedulers of AUTOMATIC1111's web UI: its two choices, a sampler and a noise schedule, are one of ours, where both
// reckon alike. Its other samplers (DPM++ 2S a, 3M SDE, DPM fast, DPM adaptive, Restart) are none that diffusers has.

import type { SchedulerName } from '../../engine/host/engine.js';

export const schedules = ['automatic', 'uniform', 'karras', 'exponential', 'beta'] as const;
export type Schedule = (typeof schedules)[number];

export interface Sampler {
  readonly name: string;
  readonly aliases: readonly string[];
  /** Ours, for each schedule that the sampler has here. */
  readonly schedulers: Readonly<Partial<Record<Schedule, SchedulerName>>>;
  /** What Automatic means; else it is uniform. */
  readonly automatic?: Exclude<Schedule, 'automatic'>;
}

type Spread = 'euler' | 'heun' | 'lms' | 'dpm2' | 'dpm2_a' | 'dpmpp_2m' | 'dpmpp_2m_sde';

const every = (name: Spread) =>
  ({
    uniform: name,
    karras: `${name}_karras`,
    exponential: `${name}_exponential`,
    beta: `${name}_beta`,
  }) as const;

export const samplers: readonly Sampler[] = [
  { name: 'DPM++ 2M', aliases: ['k_dpmpp_2m'], schedulers: every('dpmpp_2m'), automatic: 'karras' },
  { name: 'DPM++ 2M SDE', aliases: ['k_dpmpp_2m_sde'], schedulers: every('dpmpp_2m_sde'), automatic: 'exponential' },
  { name: 'Euler a', aliases: ['k_euler_a', 'k_euler_ancestral'], schedulers: { uniform: 'euler_a' } },
  { name: 'Euler', aliases: ['k_euler'], schedulers: every('euler') },
  { name: 'LMS', aliases: ['k_lms'], schedulers: every('lms') },
  { name: 'Heun', aliases: ['k_heun'], schedulers: every('heun') },
  { name: 'DPM2', aliases: ['k_dpm_2'], schedulers: every('dpm2'), automatic: 'karras' },
  { name: 'DPM2 a', aliases: ['k_dpm_2_a'], schedulers: every('dpm2_a'), automatic: 'karras' },
  { name: 'LCM', aliases: ['k_lcm'], schedulers: { uniform: 'lcm' } },
  { name: 'DDIM', aliases: ['ddim'], schedulers: { uniform: 'ddim' } },
  { name: 'PLMS', aliases: ['plms'], schedulers: { uniform: 'pndm' } },
  { name: 'UniPC', aliases: ['unipc'], schedulers: { uniform: 'unipc', karras: 'unipc_karras' } },
  { name: 'DDPM', aliases: ['ddpm'], schedulers: { uniform: 'ddpm' } },
];

/** @returns undefined for a name that is none; older clients write "DPM++ 2M Karras" */
export function findSampler(name: string): { sampler: Sampler; schedule: Schedule | undefined } | undefined {
  const wanted = name.toLowerCase();
  const schedule = (['karras', 'exponential'] as const).find((one) => wanted.endsWith(` ${one}`));
  const plain = schedule ? wanted.slice(0, -schedule.length - 1) : wanted;
  const sampler = samplers.find((one) => [one.name.toLowerCase(), ...one.aliases].includes(plain));
  return sampler && { sampler, schedule };
}

/** The pair that is that scheduler of ours; one without any goes by its own name. */
export function samplerOf(scheduler: SchedulerName): { sampler: Sampler; schedule: Schedule } {
  for (const sampler of samplers) {
    const [found] = Object.entries(sampler.schedulers).filter(([, name]) => name === scheduler);
    if (found) return { sampler, schedule: found[0] as Schedule };
  }
  return { sampler: { name: scheduler, aliases: [], schedulers: { uniform: scheduler } }, schedule: 'uniform' };
}

/** @returns undefined where we have no such pair */
export function schedulerOf(sampler: Sampler, schedule: Schedule): SchedulerName | undefined {
  return sampler.schedulers[schedule === 'automatic' ? (sampler.automatic ?? 'uniform') : schedule];
}
