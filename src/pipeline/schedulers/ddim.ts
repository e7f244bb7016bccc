// DDIM. Song et al. 2021, "Denoising Diffusion Implicit Models", equation 12; diffusers, scheduling_ddim.py.

import { alphasCumprod } from './noise-schedule.js';
import { cleanLatents, clipper, pointAt, predictedNoise, predictionType } from './prediction.js';
import { combine, refuse, type Scheduler, type SchedulerConfig, trainTimesteps } from './schedule.js';
import { roundHalfEven, spacedTimesteps } from './timesteps.js';

/**
 * Deterministic, unless the config sets `eta` above 0: the share of DDPM's noise that is added at each step.
 * In diffusers eta is an argument of the pipeline, and 0 unless given; here it belongs to the folder.
 */
export function ddim(config: SchedulerConfig, steps: number): Scheduler {
  refuse(config, 'thresholding');
  const stride = Math.floor(trainTimesteps(config) / steps);
  const alphas = alphasCumprod(config);
  const finalAlpha = (config.set_alpha_to_one ?? true) ? 1 : alphas[0]!;
  const prediction = predictionType(config);
  const clip = clipper(config, true);
  const eta = config.eta ?? 0;
  const timesteps = spacedTimesteps(config, steps, 'leading').map(roundHalfEven);

  return {
    timesteps,
    order: 1,
    addNoise(latents, noise, index) {
      const { alpha, sigma } = pointAt(alphas, timesteps[index]!);
      return combine(alpha, latents, sigma, noise);
    },
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents, generator) {
      const t = timesteps[index]!;
      const point = pointAt(alphas, t);
      const clean = clip(cleanLatents(prediction, point, latents, modelOutput));
      const noise = predictedNoise(prediction, point, latents, modelOutput);
      const alphaBar = alphas.at(t)!;
      const previousAlphaBar = t - stride >= 0 ? alphas[t - stride]! : finalAlpha;
      const variance = ((1 - previousAlphaBar) / (1 - alphaBar)) * (1 - alphaBar / previousAlphaBar);
      const added = eta * Math.sqrt(variance);
      const out = combine(Math.sqrt(previousAlphaBar), clean, Math.sqrt(1 - previousAlphaBar - added ** 2), noise);
      return eta > 0 ? combine(1, out, added, generator.randn(out.length)) : out;
    },
  };
}
