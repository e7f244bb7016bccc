// DPM-Solver++(2M). Lu et al. 2022, "DPM-Solver++", algorithm 2; diffusers, scheduling_dpmsolver_multistep.py.
// Letters are the paper's: lambda is half the log signal-to-noise ratio, h a step in it, D0 and D1 the data predictions' differences.

import {
  choice,
  combine,
  interpolate,
  karrasSigmas,
  linspace,
  predictionType,
  roundHalfEven,
  type Scheduler,
  type SchedulerConfig,
  sigmaToTimestep,
  trailingTimesteps,
  trainingSigmas,
  trainTimesteps,
  UnsupportedSchedulerError,
} from './schedule.js';

export function dpmpp2m(config: SchedulerConfig, steps: number): Scheduler {
  const order = supportedOrder(config);
  const prediction = predictionType(config);
  const solver = choice('solver_type', config.solver_type, ['midpoint', 'heun'], 'midpoint');
  const { timesteps, sigmas } = dpmSchedule(config, steps);
  const points = Array.from(sigmas, (sigma) => {
    const alpha = 1 / Math.sqrt(sigma * sigma + 1);
    return { alpha, sigma: sigma * alpha, lambda: Math.log(alpha) - Math.log(sigma * alpha) };
  });
  // The one thing that a step needs of the step before it.
  let previousX0: Float32Array | undefined;

  const endsInFirstOrder =
    (config.euler_at_final ?? false) ||
    ((config.lower_order_final ?? true) && timesteps.length < 15) ||
    sigmas[sigmas.length - 1] === 0;

  return {
    timesteps,
    addNoise: (latents, noise, index) => combine(points[index]!.alpha, latents, points[index]!.sigma, noise),
    scaleModelInput: (latents) => latents,
    step(modelOutput, index, latents) {
      const [s, t] = [points[index]!, points[index + 1]!];
      const x0 = new Float32Array(latents.length);
      for (let i = 0; i < x0.length; i++) {
        const x = latents[i]!;
        const m = modelOutput[i]!;
        x0[i] =
          prediction === 'epsilon'
            ? (x - s.sigma * m) / s.alpha
            : prediction === 'sample'
              ? m
              : s.alpha * x - s.sigma * m;
      }
      const h = t.lambda - s.lambda;
      const decay = Math.exp(-h) - 1; // -1 where the schedule ends at sigma 0, lambda being infinite there
      const out = combine(t.sigma / s.sigma, latents, -t.alpha * decay, x0);
      const last = index === timesteps.length - 1;
      if (order === 2 && previousX0 && !(last && endsInFirstOrder)) {
        const h0 = s.lambda - points[index - 1]!.lambda;
        const weight = solver === 'midpoint' ? -0.5 * t.alpha * decay : t.alpha * (decay / h + 1);
        for (let i = 0; i < out.length; i++) out[i]! += weight * (h / h0) * (x0[i]! - previousX0[i]!);
      }
      previousX0 = x0;
      return out;
    },
  };
}

function supportedOrder(config: SchedulerConfig): 1 | 2 {
  choice('algorithm_type', config.algorithm_type, ['dpmsolver++'], 'dpmsolver++');
  const order = config.solver_order ?? 2;
  if (order === 1 || order === 2) return order;
  throw new UnsupportedSchedulerError(`solver_order ${order} is not supported (supported: 1, 2)`);
}

/** Whole timesteps and their sigmas, the last one being where the schedule ends. */
function dpmSchedule(config: SchedulerConfig, steps: number) {
  const train = trainTimesteps(config);
  const training = trainingSigmas(config);
  let timesteps = dpmTimesteps(config, train, steps);
  let sigmas: Float64Array = timesteps.map((t) => interpolate(training, t));
  if (config.use_karras_sigmas) {
    sigmas = karrasSigmas(training[train - 1]!, training[0]!, steps);
    timesteps = sigmas.map((sigma) => roundHalfEven(sigmaToTimestep(sigma, training)));
  }
  const last = choice('final_sigmas_type', config.final_sigmas_type, ['zero', 'sigma_min'], 'zero');
  return { timesteps, sigmas: Float64Array.of(...sigmas, last === 'zero' ? 0 : training[0]!) };
}

/** Unlike DDIM and Euler, these grids have one point more, and the cleanest is dropped. */
function dpmTimesteps(config: SchedulerConfig, train: number, steps: number): Float64Array {
  switch (choice('timestep_spacing', config.timestep_spacing, ['linspace', 'leading', 'trailing'], 'linspace')) {
    case 'linspace':
      return linspace(0, train - 1, steps + 1)
        .map(roundHalfEven)
        .reverse()
        .slice(0, steps);
    case 'leading': {
      const stride = Math.floor(train / (steps + 1));
      const offset = config.steps_offset ?? 0;
      return Float64Array.from({ length: steps }, (_, k) => (steps - k) * stride + offset);
    }
    case 'trailing':
      return trailingTimesteps(train, steps);
  }
}
