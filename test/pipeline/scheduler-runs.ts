// How the scripts in test/reference run a scheduler: 16 latents, and a formula for a UNet.

import type { TorchGenerator } from '../../src/pipeline/numbers/noise.js';
import type { Schedule } from '../../src/pipeline/schedulers/index.js';

const { fround } = Math;

/** Clean latents. */
export const starter = Float32Array.from({ length: 16 }, (_, i) => 0.5 * Math.cos(i));

/** In float32, as torch reckons: where sigmas are large, the schedulers multiply its rounding. */
export const standInModel = (input: Float32Array, timestep: number) =>
  input.map((x, i) => {
    const angle = fround(fround(0.01 * timestep) + fround(fround(0.7) * i));
    return fround(fround(0.6) * x) + fround(fround(0.3) * fround(Math.sin(angle)));
  });

/** The noisy latents, and those after each step. */
export function run({ scheduler, begin }: Schedule, latents: Float32Array, generator: TorchGenerator): Float32Array[] {
  const states = [scheduler.addNoise(latents, generator.randn(latents.length), begin)];
  for (let i = begin; i < scheduler.timesteps.length; i++) {
    const current = states.at(-1)!;
    const output = standInModel(scheduler.scaleModelInput(current, i), scheduler.timesteps[i]!);
    states.push(scheduler.step(output, i, current, generator));
  }
  return states;
}

/** The largest |a - e| / max(1, |e|); NaN if there is one. */
export function worstError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  return Math.max(...Array.from(expected, (x, i) => Math.abs(actual[i]! - x) / Math.max(1, Math.abs(x))));
}
