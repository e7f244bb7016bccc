// What Euler's and Heun's schedulers share: latents are `clean + sigma * noise`, and the UNet gets them at unit variance.
// Source: Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models"; diffusers' set_timesteps.

import { interpolate, karrasSigmas, timestepsOfSigmas, trainingSigmas } from './noise-schedule.js';
import type { PredictionType } from './prediction.js';
import { combine, type SchedulerConfig } from './schedule.js';
import { spacedTimesteps } from './timesteps.js';

/** Timesteps, fractional where diffusers keeps them so, their sigmas, and the least sigma of training. */
export function sigmaSchedule(config: SchedulerConfig, steps: number) {
  const training = trainingSigmas(config);
  const least = training[0]!;
  const timesteps = spacedTimesteps(config, steps, 'linspace').map(Math.fround);
  const sigmas = timesteps.map((t) => interpolate(training, t));
  if (!config.use_karras_sigmas) return { timesteps, sigmas: sigmas.map(Math.fround), least };
  const max = config.sigma_max ?? sigmas[0]!;
  const min = config.sigma_min ?? sigmas[sigmas.length - 1]!;
  const karras = karrasSigmas(max, min, steps);
  return { timesteps: timestepsOfSigmas(karras, training), sigmas: karras.map(Math.fround), least };
}

export function scaleInput(latents: Float32Array, sigma: number): Float32Array {
  const scale = 1 / Math.sqrt(sigma ** 2 + 1);
  return latents.map((x) => x * scale);
}

export function cleanAt(
  prediction: PredictionType,
  sigma: number,
  latents: Float32Array,
  modelOutput: Float32Array,
): Float32Array {
  const variance = sigma ** 2 + 1;
  switch (prediction) {
    case 'epsilon':
      return combine(1, latents, -sigma, modelOutput);
    case 'v_prediction':
      return combine(1 / variance, latents, -sigma / Math.sqrt(variance), modelOutput);
    case 'sample':
      return modelOutput;
  }
}

/** d latents / d sigma, equation 1 of the paper. */
export function slopeAt(sigma: number, latents: Float32Array, clean: Float32Array): Float32Array {
  return latents.map((x, i) => Math.fround(x - clean[i]!) / sigma);
}
