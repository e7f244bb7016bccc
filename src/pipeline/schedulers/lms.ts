// Linear multistep: the last four slopes as a polynomial in sigma, integrated over the step.
// k-diffusion's sample_lms; diffusers, scheduling_lms_discrete.py.

import { basisIntegrals } from './polynomials.js';
import { predictionType } from './prediction.js';
import { combine, type Scheduler, type SchedulerConfig, weightedSum } from './schedule.js';
import { cleanAt, scaleInput, sigmaSchedule, slopeAt } from './sigma-form.js';

const maxOrder = 4;

export function lms(given: SchedulerConfig, steps: number): Scheduler {
  // As in diffusers, the class' Karras sigmas know no limits of the config.
  const config = given.use_karras_sigmas ? { ...given, sigma_min: null, sigma_max: null } : given;
  const prediction = predictionType(config);
  const { timesteps, sigmas } = sigmaSchedule(config, steps);
  let slopes: Float32Array[] = []; // newest first

  return {
    timesteps,
    sigmas,
    order: 1,
    addNoise: (latents, noise, index) => combine(1, latents, sigmas[index]!, noise),
    scaleModelInput: (latents, index) => scaleInput(latents, sigmas[index]!),
    step(modelOutput, index, latents) {
      const sigma = sigmas[index]!;
      const slope = slopeAt(sigma, latents, cleanAt(prediction, sigma, latents, modelOutput));
      slopes = [slope, ...slopes].slice(0, maxOrder);
      // diffusers counts places of the whole schedule and not known slopes: img2img, which leaves out the schedule's beginning, starts
      // with the weights of a high order and the few slopes that there are. So do we: same pictures.
      const nodes = Array.from(sigmas.slice(Math.max(index + 1 - maxOrder, 0), index + 1)).reverse();
      const weights = basisIntegrals(nodes, sigma, sigmas[index + 1]!, 0).slice(0, slopes.length);
      return weightedSum([1, ...weights], [latents, ...slopes]);
    },
  };
}
