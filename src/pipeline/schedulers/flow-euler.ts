// Euler's method for flow matching models. Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image
// Synthesis"; diffusers, scheduling_flow_match_euler_discrete.py.

import { type FlowRequest, flowSigmas, stretched } from './flow-sigmas.js';
import { combine, type Scheduler, type SchedulerConfig, trainTimesteps } from './schedule.js';
import { spreadOf, spreadSigmas } from './sigma-spread.js';

export function flowEuler(config: SchedulerConfig, steps: number, flow: FlowRequest): Scheduler {
  const train = trainTimesteps(config);
  const sigmas = flowSchedule(config, steps, flow);
  const stochastic = config.stochastic_sampling ?? false;

  return {
    timesteps: sigmas.slice(0, steps).map((sigma) => Math.fround(sigma * train)),
    sigmas,
    order: 1,
    addNoise: (latents, noise, index) => combine(1 - sigmas[index]!, latents, sigmas[index]!, noise),
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents, generator) {
      const [from, to] = [sigmas[index]!, sigmas[index + 1]!];
      if (!stochastic) return combine(1, latents, to - from, modelOutput);
      const clean = combine(1, latents, -from, modelOutput);
      return combine(1 - to, clean, to, generator.randn(latents.length));
    },
  };
}

function flowSchedule(config: SchedulerConfig, steps: number, flow: FlowRequest): Float64Array {
  let sigmas = stretched(flowSigmas(config, steps, flow), config.shift_terminal);
  const spread = spreadOf(config);
  if (spread !== 'plain') {
    sigmas = spreadSigmas(spread, config.sigma_max ?? sigmas[0]!, config.sigma_min ?? sigmas.at(-1)!, steps);
  }
  const rounded = sigmas.map(Math.fround);
  // Some models count from the clean end.
  return config.invert_sigmas
    ? Float64Array.of(...rounded.map((sigma) => Math.fround(1 - sigma)), 1)
    : Float64Array.of(...rounded, 0);
}
