// Heun's method for flow matching models. diffusers, scheduling_flow_match_heun_discrete.py.

import { type FlowRequest, flowSigmas } from './flow-sigmas.js';
import { heunSolver } from './heun.js';
import {
  combine,
  type Scheduler,
  type SchedulerConfig,
  trainTimesteps,
  UnsupportedSchedulerError,
} from './schedule.js';

export function flowHeun(config: SchedulerConfig, steps: number, { pipelineSigmas }: FlowRequest): Scheduler {
  if (pipelineSigmas || config.use_dynamic_shifting) {
    throw new UnsupportedSchedulerError("the scheduler flow_heun lays its own sigmas, without a picture's shift");
  }
  const points = flowSigmas(config, steps, {}).map(Math.fround);
  const timesteps = points.map((sigma) => Math.fround(sigma * trainTimesteps(config)));
  const solver = heunSolver({ timesteps, sigmas: Float64Array.of(...points, 0) }, (sigma, latents, modelOutput) =>
    combine(1, latents, -sigma, modelOutput),
  );
  const { sigmas } = solver;
  return {
    ...solver,
    addNoise: (latents, noise, index) => combine(1 - sigmas[index]!, latents, sigmas[index]!, noise),
    scaleModelInput: (latents) => latents,
  };
}
