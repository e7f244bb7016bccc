// What the schedulers of k-diffusion share (Euler, Heun, LMS, DPM2): latents are `clean + sigma * noise`, and the UNet gets them at
// unit variance. Source: Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models"; diffusers'
// set_timesteps.

import { interpolate, timestepsOfSigmas, trainingSigmas } from './noise-schedule.js';
import type { PredictionType } from './prediction.js';
import { combine, type SchedulerConfig } from './schedule.js';
import { spreadOf, spreadSigmas } from './sigma-spread.js';
import { spacedTimesteps } from './timesteps.js';

const { fround } = Math;

/**
 * Timesteps, fractional where diffusers keeps them so, and their sigmas, the one after the last being `end`.
 * @param end where the schedule ends, given the sigmas of training
 */
export function sigmaSchedule(
  config: SchedulerConfig,
  steps: number,
  end: (training: Float64Array) => number = () => 0,
): { timesteps: Float64Array; sigmas: Float64Array; training: Float64Array } {
  const training = trainingSigmas(config);
  let timesteps: Float64Array = spacedTimesteps(config, steps, 'linspace').map(fround);
  let sigmas: Float64Array = timesteps.map((t) => interpolate(training, t));
  const spread = spreadOf(config);
  if (spread !== 'plain') {
    sigmas = spreadSigmas(spread, config.sigma_max ?? sigmas[0]!, config.sigma_min ?? sigmas.at(-1)!, steps);
    timesteps = timestepsOfSigmas(sigmas, training).map(fround);
  }
  return { timesteps, sigmas: Float64Array.of(...sigmas.map(fround), end(training)), training };
}

export function scaleInput(latents: Float32Array, sigma: number): Float32Array {
  const scale = fround(Math.sqrt(fround(fround(sigma ** 2) + 1)));
  return latents.map((x) => x / scale);
}

export function cleanAt(
  prediction: PredictionType,
  sigma: number,
  latents: Float32Array,
  modelOutput: Float32Array,
): Float32Array {
  const variance = fround(fround(sigma ** 2) + 1);
  switch (prediction) {
    case 'epsilon':
    case 'flow_prediction':
      return combine(1, latents, -sigma, modelOutput);
    case 'v_prediction':
      return combine(
        1,
        latents.map((x) => x / variance),
        -sigma / fround(Math.sqrt(variance)),
        modelOutput,
      );
    case 'sample':
      return modelOutput;
  }
}

/** d latents / d sigma, equation 1 of the paper. */
export function slopeAt(sigma: number, latents: Float32Array, clean: Float32Array): Float32Array {
  return latents.map((x, i) => fround(x - clean[i]!) / sigma);
}

/**
 * A step from one sigma to a lower one as a step below it, to `down`, and fresh noise of the size `up`; k-diffusion's
 * get_ancestral_step. In float32, as in diffusers: where `to` is small, little more than rounding is left of `down`, and where nothing
 * is, which diffusers does not survive, it is what it would be without rounding.
 */
export function ancestralStep(from: number, to: number): { down: number; up: number } {
  const [from2, to2] = [fround(from ** 2), fround(to ** 2)];
  const up = fround(Math.sqrt(fround(fround(to2 * fround(from2 - to2)) / from2)));
  const down2 = fround(to2 - fround(up ** 2));
  return { down: down2 > 0 ? fround(Math.sqrt(down2)) : to2 / from, up };
}
