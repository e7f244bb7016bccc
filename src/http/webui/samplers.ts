// The samplers and schedulers of AUTOMATIC1111's web UI: its two choices, a sampler and a noise schedule, are one of ours.

import type { SchedulerName } from '../../engine/host/engine.js';

export const schedules = ['automatic', 'uniform', 'karras'] as const;
export type Schedule = (typeof schedules)[number];

export interface Sampler {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly uniform: SchedulerName;
  readonly karras?: SchedulerName;
  /** What Automatic means; else it is uniform. */
  readonly automatic?: 'karras';
}

export const samplers: readonly Sampler[] = [
  { name: 'DPM++ 2M', aliases: ['k_dpmpp_2m'], uniform: 'dpmpp_2m', karras: 'dpmpp_2m_karras', automatic: 'karras' },
  {
    name: 'DPM++ 2M SDE',
    aliases: ['k_dpmpp_2m_sde'],
    uniform: 'dpmpp_2m_sde',
    karras: 'dpmpp_2m_sde_karras',
    automatic: 'karras',
  },
  { name: 'Euler a', aliases: ['k_euler_a', 'k_euler_ancestral'], uniform: 'euler_a' },
  { name: 'Euler', aliases: ['k_euler'], uniform: 'euler', karras: 'euler_karras' },
  { name: 'Heun', aliases: ['k_heun'], uniform: 'heun' },
  { name: 'LCM', aliases: ['k_lcm'], uniform: 'lcm' },
  { name: 'DDIM', aliases: ['ddim'], uniform: 'ddim' },
  { name: 'PLMS', aliases: ['plms'], uniform: 'pndm' },
  { name: 'UniPC', aliases: ['unipc'], uniform: 'unipc', karras: 'unipc_karras' },
  { name: 'DDPM', aliases: ['ddpm'], uniform: 'ddpm' },
];

/** @returns undefined for a name that is none; older clients write "DPM++ 2M Karras" */
export function findSampler(name: string): { sampler: Sampler; schedule: Schedule | undefined } | undefined {
  const wanted = name.toLowerCase();
  const plain = wanted.replace(/ karras$/, '');
  const sampler = samplers.find((one) => [one.name.toLowerCase(), ...one.aliases].includes(plain));
  return sampler && { sampler, schedule: plain === wanted ? undefined : 'karras' };
}

/** @returns undefined where we have no such pair */
export function schedulerOf(sampler: Sampler, schedule: Schedule): SchedulerName | undefined {
  const effective = schedule === 'automatic' ? (sampler.automatic ?? 'uniform') : schedule;
  return sampler[effective];
}
