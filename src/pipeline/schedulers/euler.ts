// Euler's method on the probability flow ODE. Karras et al. 2022, algorithm 2 without churn; diffusers, scheduling_euler_discrete.py.

import { predictionType } from './prediction.js';
import { choice, combine, finalSigma, type Scheduler, type SchedulerConfig } from './schedule.js';
import { cleanAt, scaleInput, sigmaSchedule, slopeAt } from './sigma-form.js';

export function euler(config: SchedulerConfig, steps: number): Scheduler {
  choice('interpolation_type', config.interpolation_type, ['linear'], 'linear');
  choice('timestep_type', config.timestep_type, ['discrete'], 'discrete');
  const prediction = predictionType(config);
  const { timesteps, sigmas } = sigmaSchedule(config, steps, (training) => finalSigma(config, training[0]!));

  return {
    timesteps,
    sigmas,
    order: 1,
    addNoise: (latents, noise, index) => combine(1, latents, sigmas[index]!, noise),
    scaleModelInput: (latents, index) => scaleInput(latents, sigmas[index]!),
    step(modelOutput, index, latents) {
      const sigma = sigmas[index]!;
      const slope = slopeAt(sigma, latents, cleanAt(prediction, sigma, latents, modelOutput));
      return combine(1, latents, sigmas[index + 1]! - sigma, slope);
    },
  };
}
