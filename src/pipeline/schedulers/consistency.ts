// The timesteps of consistency models (LCM, TCD): some of those that the model was distilled at.
// Source: diffusers, scheduling_lcm.py and scheduling_tcd.py.

import { type SchedulerConfig, trainTimesteps, UnsupportedSchedulerError } from './schedule.js';

/** How many steps the training grid has up to a strength. */
export function consistencyPlaces(config: SchedulerConfig, strength: number): number {
  const train = trainTimesteps(config);
  const original = config.original_inference_steps ?? 50;
  if (original <= train) return Math.trunc(original * strength);
  throw new UnsupportedSchedulerError(`original_inference_steps ${original} is more than num_train_timesteps ${train}`);
}

/** Of the training grid's places, `steps` evenly spaced ones. */
export function consistencyTimesteps(
  name: 'lcm' | 'tcd',
  config: SchedulerConfig,
  steps: number,
  strength: number,
): Float64Array {
  const places = consistencyPlaces(config, strength);
  const original = config.original_inference_steps ?? 50;
  if (steps > places) {
    throw new UnsupportedSchedulerError(
      `steps is ${steps}; the scheduler ${name} makes at most ${places} here: trunc(${original} * ${strength}), its training grid up to the strength`,
      'steps',
    );
  }
  const stride = Math.floor(trainTimesteps(config) / original);
  return Float64Array.from({ length: steps }, (_, k) => (places - Math.floor(k * (places / steps))) * stride - 1);
}
