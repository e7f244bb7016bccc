// DPM-Solver-2 as k-diffusion has it: a step's slope is taken in its middle, the geometric mean of both ends' sigmas. The ancestral
// variant goes below its end and back up with fresh noise. Karras et al. 2022, algorithm 2; Lu et al. 2022, "DPM-Solver", algorithm 1;
// diffusers, scheduling_k_dpm_2_discrete.py and scheduling_k_dpm_2_ancestral_discrete.py.

import { timestepsOfSigmas } from './noise-schedule.js';
import { predictionType } from './prediction.js';
import { combine, type Scheduler, type SchedulerConfig } from './schedule.js';
import { ancestralStep, cleanAt, scaleInput, sigmaSchedule, slopeAt } from './sigma-form.js';
import { roundHalfEven } from './timesteps.js';

const { fround } = Math;

const defaults = { beta_start: 0.00085, beta_end: 0.012 };

export const dpm2 = (config: SchedulerConfig, steps: number) => solver(config, steps, false);

export const dpm2Ancestral = (config: SchedulerConfig, steps: number) => solver(config, steps, true);

function solver(given: SchedulerConfig, steps: number, ancestral: boolean): Scheduler {
  const config = { ...defaults, ...given };
  const prediction = predictionType(config, ['epsilon', 'v_prediction']);
  const { timesteps: ends, sigmas: points, training } = sigmaSchedule(config, steps);
  const plan = Array.from(ends, (_, k) => {
    const [from, to] = [points[k]!, points[k + 1]!];
    const { down, up } = ancestral ? ancestralStep(from, to) : { down: to, up: 0 };
    return { from, middle: geometricMean(from, down), down, up };
  });
  const whole = config.use_karras_sigmas ? roundHalfEven : (t: number) => t;
  const middles = timestepsOfSigmas(
    Float64Array.from(plan, ({ middle }) => middle),
    training,
  );
  // A step's beginning, its middle; the last one ends without noise and has no middle.
  const timesteps = Float64Array.from({ length: 2 * ends.length - 1 }, (_, k) =>
    k % 2 === 0 ? whole(ends[k / 2]!) : middles[(k - 1) / 2]!,
  );
  // As diffusers lists them: ends only, the middles are beside.
  const sigmas = Float64Array.from({ length: 2 * points.length }, (_, k) => points[Math.ceil(k / 2)] ?? 0);
  const at = (index: number) => plan[index >> 1]!;
  const sigmaAt = (index: number) => (index % 2 === 0 ? at(index).from : at(index).middle);

  let start: Float32Array | undefined;

  return {
    timesteps,
    sigmas,
    order: 2,
    addNoise: (latents, noise, index) => combine(1, latents, sigmas[index]!, noise),
    scaleModelInput: (latents, index) => scaleInput(latents, sigmaAt(index)),
    step(modelOutput, index, latents, generator) {
      const { from, middle, down, up } = at(index);
      const sigma = sigmaAt(index);
      const slope = slopeAt(sigma, latents, cleanAt(prediction, sigma, latents, modelOutput));
      if (!start) {
        start = latents;
        return combine(1, latents, middle - from, slope);
      }
      const out = combine(1, start, down - from, slope);
      start = undefined;
      return ancestral ? combine(1, out, up, generator.randn(out.length)) : out;
    },
  };
}

const geometricMean = (a: number, b: number) =>
  fround(Math.exp(fround((fround(Math.log(a)) + fround(Math.log(b))) / 2)));
