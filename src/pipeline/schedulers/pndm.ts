// Pseudo linear multistep (PLMS). Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds", equations 11 to 13;
// diffusers, scheduling_pndm.py with skip_prk_steps.
// The second timestep of the schedule is there twice: the first step is made again with the mean of two predictions. diffusers
// counts calls and not places, so that img2img, which leaves out the schedule's beginning and with it the double, makes its first
// step again nevertheless, and takes every later one from latents that are a stride cleaner than it thinks. So do we: same pictures.

import { alphasCumprod } from './noise-schedule.js';
import { pointAt, predictedNoise, predictionType } from './prediction.js';
import { combine, type Scheduler, type SchedulerConfig, trainTimesteps, weightedSum } from './schedule.js';
import { roundHalfEven, spacedTimesteps } from './timesteps.js';

/** Adams-Bashforth weights, newest output first, by the number of outputs that are known. */
const weights = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]] as const;

export function pndm(config: SchedulerConfig, steps: number): Scheduler {
  const stride = Math.floor(trainTimesteps(config) / steps);
  const alphas = alphasCumprod(config);
  const finalAlpha = config.set_alpha_to_one ? 1 : alphas[0]!;
  const prediction = predictionType(config, ['epsilon', 'v_prediction']);
  const grid = spacedTimesteps(config, steps, 'leading').map(roundHalfEven);
  const timesteps = grid.length > 1 ? Float64Array.of(...grid.subarray(0, 2), ...grid.subarray(1)) : grid;

  /** Equation 11: from `t` to `next` along a prediction. */
  function transfer(latents: Float32Array, t: number, next: number, modelOutput: Float32Array): Float32Array {
    const noise = predictedNoise(prediction, pointAt(alphas, t), latents, modelOutput);
    const alphaBar = alphas.at(t)!;
    const nextAlphaBar = next >= 0 ? alphas[next]! : finalAlpha;
    const denominator = alphaBar * Math.sqrt(1 - nextAlphaBar) + Math.sqrt(alphaBar * (1 - alphaBar) * nextAlphaBar);
    return combine(Math.sqrt(nextAlphaBar / alphaBar), latents, -(nextAlphaBar - alphaBar) / denominator, noise);
  }

  let calls = 0;
  let outputs: Float32Array[] = []; // newest first, at most four
  let firstLatents: Float32Array;

  return {
    timesteps,
    order: 1,
    addNoise(latents, noise, index) {
      const { alpha, sigma } = pointAt(alphas, timesteps[index]!);
      return combine(alpha, latents, sigma, noise);
    },
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents) {
      const t = timesteps[index]!;
      calls++;
      if (calls === 2) return transfer(firstLatents, t + stride, t, combine(0.5, modelOutput, 0.5, outputs[0]!));
      if (calls === 1) firstLatents = latents;
      outputs = [modelOutput, ...outputs.slice(0, 3)];
      return transfer(latents, t, t - stride, weightedSum(weights[outputs.length - 1]!, outputs));
    },
  };
}
