// How sigmas are spread between the noisiest and the cleanest: as the training schedule has them, or by a rule of their own.
// Source: Karras et al. 2022, equation 5; Lee et al. 2024, "Beta Sampling is All You Need"; diffusers' _convert_to_*.

import { betaQuantile } from './beta-quantile.js';
import { type SchedulerConfig, UnsupportedSchedulerError } from './schedule.js';
import { linspace } from './timesteps.js';

export const spreads = ['karras', 'exponential', 'beta'] as const;
/** `plain` is the training schedule's own. */
export type Spread = (typeof spreads)[number] | 'plain';

/** The keys that choose one: what a name sets, so that the config's own choice does not count. */
export function spreadSettings(spread: Spread) {
  return {
    use_karras_sigmas: spread === 'karras',
    use_exponential_sigmas: spread === 'exponential',
    use_beta_sigmas: spread === 'beta',
  };
}

/** @throws UnsupportedSchedulerError when the config chooses more than one, as in diffusers */
export function spreadOf(config: SchedulerConfig): Spread {
  const chosen = spreads.filter((spread) => config[`use_${spread}_sigmas`]);
  if (chosen.length < 2) return chosen[0] ?? 'plain';
  const keys = chosen.map((spread) => `use_${spread}_sigmas`).join(' and ');
  throw new UnsupportedSchedulerError(`${keys} do not go together`);
}

/** `count` sigmas from `max` down to `min`, both above 0. */
export function spreadSigmas(
  spread: Exclude<Spread, 'plain'>,
  max: number,
  min: number,
  count: number,
  rho = 7,
): Float64Array {
  switch (spread) {
    case 'karras': {
      const [top, bottom] = [max ** (1 / rho), min ** (1 / rho)];
      return linspace(0, 1, count).map((x) => (top + x * (bottom - top)) ** rho);
    }
    case 'exponential':
      return linspace(Math.log(max), Math.log(min), count).map(Math.exp);
    case 'beta':
      return linspace(0, 1, count).map((x) => min + betaQuantile(1 - x, 0.6) * (max - min));
  }
}
