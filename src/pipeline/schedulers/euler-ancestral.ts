// Euler with ancestral noise: each step goes below its sigma and back up with fresh noise. Song et al. 2021, "Score-Based Generative
// Modeling through SDEs", appendix F; the split into sigma down and up is k-diffusion's. diffusers, scheduling_euler_ancestral_discrete.py.

import { predictionType } from './prediction.js';
import { combine, type Scheduler, type SchedulerConfig } from './schedule.js';
import { cleanAt, scaleInput, sigmaSchedule, slopeAt } from './sigma-form.js';

export function eulerAncestral(given: SchedulerConfig, steps: number): Scheduler {
  const config = { ...given, use_karras_sigmas: false }; // a key that the class does not have
  const prediction = predictionType(config, ['epsilon', 'v_prediction']);
  const { timesteps, sigmas } = sigmaSchedule(config, steps);

  return {
    timesteps,
    order: 1,
    addNoise: (latents, noise, index) => combine(1, latents, sigmas[index]!, noise),
    scaleModelInput: (latents, index) => scaleInput(latents, sigmas[index]!),
    step(modelOutput, index, latents, generator) {
      const [from, to] = [sigmas[index]!, sigmas[index + 1] ?? 0];
      const up = Math.sqrt((to ** 2 * (from ** 2 - to ** 2)) / from ** 2);
      const down = Math.sqrt(to ** 2 - up ** 2);
      const slope = slopeAt(from, latents, cleanAt(prediction, from, latents, modelOutput));
      // The last step draws too, as in diffusers, although nothing of it is added.
      return combine(1, combine(1, latents, down - from, slope), up, generator.randn(latents.length));
    },
  };
}
