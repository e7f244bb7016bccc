// Euler's method on the probability flow ODE. Karras et al. 2022, algorithm 2 without churn; diffusers, scheduling_euler_discrete.py.

import {
  choice,
  combine,
  interpolate,
  karrasSigmas,
  linspace,
  predictionType,
  type Scheduler,
  type SchedulerConfig,
  sigmaToTimestep,
  trailingTimesteps,
  trainingSigmas,
  trainTimesteps,
} from './schedule.js';

export function euler(config: SchedulerConfig, steps: number): Scheduler {
  const training = trainingSigmas(config);
  const prediction = predictionType(config);
  const { timesteps, sigmas } = eulerSchedule(config, training, steps);

  return {
    timesteps,
    addNoise: (latents, noise, index) => combine(1, latents, sigmas[index]!, noise),
    scaleModelInput(latents, index) {
      const scale = 1 / Math.sqrt(sigmas[index]! ** 2 + 1);
      return latents.map((x) => x * scale);
    },
    step(modelOutput, index, latents) {
      const sigma = sigmas[index]!;
      const dt = sigmas[index + 1]! - sigma;
      const variance = sigma * sigma + 1;
      const out = new Float32Array(latents.length);
      for (let i = 0; i < out.length; i++) {
        const x = latents[i]!;
        const m = modelOutput[i]!;
        const x0 =
          prediction === 'epsilon'
            ? x - sigma * m
            : prediction === 'sample'
              ? m
              : x / variance - (sigma / Math.sqrt(variance)) * m;
        out[i] = x + ((x - x0) / sigma) * dt;
      }
      return out;
    },
  };
}

/** Timesteps (fractional where diffusers keeps them so) and their sigmas, the last one being where the schedule ends. */
function eulerSchedule(config: SchedulerConfig, training: Float64Array, steps: number) {
  const train = trainTimesteps(config);
  let timesteps: Float64Array;
  switch (choice('timestep_spacing', config.timestep_spacing, ['linspace', 'leading', 'trailing'], 'linspace')) {
    case 'linspace':
      timesteps = linspace(0, train - 1, steps).reverse();
      break;
    case 'leading': {
      const stride = Math.floor(train / steps);
      const offset = config.steps_offset ?? 0;
      timesteps = Float64Array.from({ length: steps }, (_, k) => (steps - 1 - k) * stride + offset);
      break;
    }
    case 'trailing':
      timesteps = trailingTimesteps(train, steps);
  }
  let sigmas: Float64Array = timesteps.map((t) => interpolate(training, t));
  if (config.use_karras_sigmas) {
    sigmas = karrasSigmas(sigmas[0]!, sigmas[sigmas.length - 1]!, steps);
    timesteps = sigmas.map((sigma) => sigmaToTimestep(sigma, training));
  }
  const last = choice('final_sigmas_type', config.final_sigmas_type, ['zero', 'sigma_min'], 'zero');
  return { timesteps, sigmas: Float64Array.of(...sigmas, last === 'zero' ? 0 : training[0]!) };
}
