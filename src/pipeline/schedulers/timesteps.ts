// The grids of timesteps that a schedule of `steps` visits, noisiest first.
// Source: Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", table 2; diffusers' set_timesteps.

import { choice, type SchedulerConfig, trainTimesteps, UnsupportedSchedulerError } from './schedule.js';

const spacings = ['leading', 'linspace', 'trailing'] as const;
type Spacing = (typeof spacings)[number];

/** The grid of most schedulers. `linspace` keeps fractions; trailing may have one entry more than `steps`. */
export function spacedTimesteps(config: SchedulerConfig, steps: number, fallback: Spacing): Float64Array {
  const train = trainTimesteps(config);
  switch (choice('timestep_spacing', config.timestep_spacing, spacings, fallback)) {
    case 'leading': {
      const stride = Math.floor(train / steps);
      const offset = config.steps_offset ?? 0;
      return Float64Array.from({ length: steps }, (_, k) => (steps - 1 - k) * stride + offset);
    }
    case 'linspace':
      return linspace(0, train - 1, steps).reverse();
    case 'trailing':
      return trailingTimesteps(train, train, steps);
  }
}

/**
 * The grid of DPM++ and UniPC: whole, and one point longer before its cleanest point is dropped.
 * @param train where the grid ends, for schedules that are cut at a log signal-to-noise ratio
 */
export function multistepTimesteps(
  config: SchedulerConfig,
  steps: number,
  train = trainTimesteps(config),
): Float64Array {
  const spacing = choice('timestep_spacing', config.timestep_spacing, spacings, 'linspace');
  if (spacing !== 'trailing' && steps >= train) {
    throw new UnsupportedSchedulerError(
      `steps is ${steps}; this scheduler takes at most ${train - 1}, one less than its ${train} timesteps`,
      'steps',
    );
  }
  switch (spacing) {
    case 'leading': {
      const stride = Math.floor(train / (steps + 1));
      const offset = config.steps_offset ?? 0;
      return Float64Array.from({ length: steps }, (_, k) => (steps - k) * stride + offset);
    }
    case 'linspace':
      return linspace(0, train - 1, steps + 1)
        .map(roundHalfEven)
        .reverse()
        .slice(0, steps);
    case 'trailing':
      return trailingTimesteps(train, trainTimesteps(config), steps);
  }
}

/** numpy's round: halves go to the even neighbour. */
export function roundHalfEven(x: number): number {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** `count` numbers from `start` to `end`, both included; numpy's, to the bit. */
export function linspace(start: number, end: number, count: number): Float64Array {
  const stride = count > 1 ? (end - start) / (count - 1) : 0;
  return Float64Array.from({ length: count }, (_, i) => (i > 0 && i === count - 1 ? end : stride * i + start));
}

/** `round(arange(top, 0, -train / steps)) - 1`; arange's length is a rounded quotient, so that 61 steps get 62 entries, the last -1. */
function trailingTimesteps(top: number, train: number, steps: number): Float64Array {
  const ratio = train / steps;
  const count = Math.ceil(top / ratio);
  return Float64Array.from({ length: count }, (_, k) => roundHalfEven(top - k * ratio) - 1);
}
