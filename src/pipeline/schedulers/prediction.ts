// What a UNet's output says: the clean latents and the noise, where the latents are `alpha * clean + sigma * noise`.
// Source: Salimans & Ho 2022, "Progressive Distillation for Fast Sampling of Diffusion Models", section 4 and appendix D.

import { choice, combine, type SchedulerConfig } from './schedule.js';

const { fround } = Math;

/** `flow_prediction`: the noise less the clean latents, whatever the weights of the two. */
export type PredictionType = 'epsilon' | 'v_prediction' | 'sample' | 'flow_prediction';

/** Weights of signal and noise; alpha^2 + sigma^2 = 1, but on a flow, where alpha + sigma = 1. */
export interface Point {
  readonly alpha: number;
  readonly sigma: number;
}

/** @param alphas cumulative products, by training timestep; -1 is the last, as in Python, which trailing grids can ask for */
export function pointAt(alphas: Float64Array, timestep: number): Point {
  return pointOf(alphas.at(timestep)!);
}

export function pointOf(alphaCumprod: number): Point {
  return { alpha: fround(Math.sqrt(alphaCumprod)), sigma: fround(Math.sqrt(fround(1 - alphaCumprod))) };
}

export function predictionType(
  config: SchedulerConfig,
  known: readonly PredictionType[] = ['epsilon', 'v_prediction', 'sample'],
): PredictionType {
  return choice('prediction_type', config.prediction_type, known, 'epsilon');
}

export function cleanLatents(
  prediction: PredictionType,
  { alpha, sigma }: Point,
  latents: Float32Array,
  modelOutput: Float32Array,
): Float32Array {
  switch (prediction) {
    case 'epsilon':
      return combine(1, latents, -sigma, modelOutput).map((x) => x / alpha);
    case 'v_prediction':
      return combine(alpha, latents, -sigma, modelOutput);
    case 'sample':
      return modelOutput;
    case 'flow_prediction':
      return combine(1, latents, -sigma, modelOutput);
  }
}

export function predictedNoise(
  prediction: PredictionType,
  { alpha, sigma }: Point,
  latents: Float32Array,
  modelOutput: Float32Array,
): Float32Array {
  switch (prediction) {
    case 'epsilon':
      return modelOutput;
    case 'v_prediction':
      return combine(sigma, latents, alpha, modelOutput);
    case 'sample':
      return combine(1 / sigma, latents, -alpha / sigma, modelOutput);
    case 'flow_prediction':
      return combine(1, latents, 1 - sigma, modelOutput);
  }
}

/** A clamp to the config's range; clipping is on by default in some classes. */
export function clipper(config: SchedulerConfig, fallback: boolean): (latents: Float32Array) => Float32Array {
  if (!(config.clip_sample ?? fallback)) return (latents) => latents;
  const range = config.clip_sample_range ?? 1;
  return (latents) => latents.map((x) => Math.min(Math.max(x, -range), range));
}
