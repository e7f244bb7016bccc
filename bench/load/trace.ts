// What is asked for under load: the same requests for every pass, so that each can be compared with itself alone.

import { randoms } from '../figures.js';

export interface Asked {
  /** Who asks: a key of the service. */
  readonly caller: string;
  readonly fields: Readonly<Record<string, string | number>>;
  /** Exponential with mean 1: times the mean gap of a rate it is the time since the arrival before. */
  readonly gap: number;
}

export const callers = ['a', 'b', 'c', 'd'] as const;

/** @param random in [0, 1) @param shares that sum to 1 */
function pick<T>(random: number, shares: readonly (readonly [share: number, value: T])[]): T {
  let left = random;
  for (const [share, value] of shares) {
    if (left < share) return value;
    left -= share;
  }
  return shares.at(-1)![1];
}

export function trace(count: number, seed: number): Asked[] {
  const random = randoms(seed);
  return Array.from({ length: count }, (_, i) => {
    const caller = pick(random(), [
      [0.5, 'a'],
      [0.25, 'b'],
      [0.125, 'c'],
      [0.125, 'd'],
    ]);
    const side = pick(random(), [
      [0.4, 128],
      [0.4, 256],
      [0.15, 384],
      [0.05, 512],
    ]);
    const steps = 10 + 5 * Math.floor(4 * random());
    const strength = Math.round(10 * (0.3 + 0.6 * random())) / 10;
    const guidance = random() < 0.5 ? 1 : 7.5;
    const fields = { prompt: `watercolor painting, number ${i}`, seed: i, width: side, height: side };
    return { caller, fields: { ...fields, steps, strength, guidance }, gap: -Math.log(1 - random()) };
  });
}
