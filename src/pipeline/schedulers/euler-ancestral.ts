// Euler with ancestral noise: each step goes below its sigma and back up with fresh noise. Song et al. 2021, "Score-Based Generative
// Modeling through SDEs", appendix F; the split into sigma down and up is k-diffusion's. diffusers, scheduling_euler_ancestral_discrete.py.

import { predictionType } from './prediction.js';
import { combine, type Scheduler, type SchedulerConfig } from './schedule.js';
import { ancestralStep, cleanAt, scaleInput, sigmaSchedule, slopeAt } from './sigma-form.js';

export function eulerAncestral(config: SchedulerConfig, steps: number): Scheduler {
  const prediction = predictionType(config, ['epsilon', 'v_prediction']);
  const { timesteps, sigmas } = sigmaSchedule(config, steps);

  return {
    timesteps,
    sigmas,
    order: 1,
    addNoise: (latents, noise, index) => combine(1, latents, sigmas[index]!, noise),
    scaleModelInput: (latents, index) => scaleInput(latents, sigmas[index]!),
    step(modelOutput, index, latents, generator) {
      const sigma = sigmas[index]!;
      const { down, up } = ancestralStep(sigma, sigmas[index + 1]!);
      const slope = slopeAt(sigma, latents, cleanAt(prediction, sigma, latents, modelOutput));
      // The last step draws too, as in diffusers, although nothing of it is added.
      return combine(1, combine(1, latents, down - sigma, slope), up, generator.randn(latents.length));
    },
  };
}
