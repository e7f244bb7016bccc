// DDIM with eta 0. Song et al. 2021, "Denoising Diffusion Implicit Models", equation 12; diffusers, scheduling_ddim.py.

import {
  alphasCumprod,
  choice,
  combine,
  linspace,
  predictionType,
  roundHalfEven,
  type Scheduler,
  type SchedulerConfig,
  trailingTimesteps,
  trainTimesteps,
} from './schedule.js';

export function ddim(config: SchedulerConfig, steps: number): Scheduler {
  const train = trainTimesteps(config);
  const stride = Math.floor(train / steps);
  const alphas = alphasCumprod(config);
  const finalAlpha = (config.set_alpha_to_one ?? true) ? 1 : alphas[0]!;
  const prediction = predictionType(config);
  const clip = (config.clip_sample ?? true) ? (config.clip_sample_range ?? 1) : Number.POSITIVE_INFINITY;
  const timesteps = ddimTimesteps(config, train, steps);

  return {
    timesteps,
    addNoise(latents, noise, index) {
      const alpha = alphas[timesteps[index]!]!;
      return combine(Math.sqrt(alpha), latents, Math.sqrt(1 - alpha), noise);
    },
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents) {
      const t = timesteps[index]!;
      const alpha = alphas[t]!;
      const previousAlpha = t - stride >= 0 ? alphas[t - stride]! : finalAlpha;
      const [a, s] = [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
      const [aPrev, sPrev] = [Math.sqrt(previousAlpha), Math.sqrt(1 - previousAlpha)];
      const out = new Float32Array(latents.length);
      for (let i = 0; i < out.length; i++) {
        const x = latents[i]!;
        const m = modelOutput[i]!;
        const x0 = prediction === 'epsilon' ? (x - s * m) / a : prediction === 'sample' ? m : a * x - s * m;
        const noise = prediction === 'epsilon' ? m : prediction === 'sample' ? (x - a * x0) / s : a * m + s * x;
        out[i] = aPrev * Math.min(Math.max(x0, -clip), clip) + sPrev * noise;
      }
      return out;
    },
  };
}

function ddimTimesteps(config: SchedulerConfig, train: number, steps: number): Float64Array {
  switch (choice('timestep_spacing', config.timestep_spacing, ['leading', 'linspace', 'trailing'], 'leading')) {
    case 'leading': {
      const stride = Math.floor(train / steps);
      const offset = config.steps_offset ?? 0;
      return Float64Array.from({ length: steps }, (_, k) => (steps - 1 - k) * stride + offset);
    }
    case 'linspace':
      return linspace(0, train - 1, steps)
        .map(roundHalfEven)
        .reverse();
    case 'trailing':
      return trailingTimesteps(train, steps);
  }
}
