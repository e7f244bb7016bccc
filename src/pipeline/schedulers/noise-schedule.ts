// How noisy each training timestep is. alphas are the cumulative products (alpha bar); sigmas are noise over signal.
// Rounded to float32 wherever torch rounds: rounded and fractional timesteps depend on it.

import { choice, type SchedulerConfig, trainTimesteps, UnsupportedSchedulerError } from './schedule.js';

const { fround } = Math;

const mostKept = 8;

/** Cumulative products of 1 - beta, one per training timestep, in (0, 1] (0 at the end after a zero-SNR rescale). Not to be changed. */
export const alphasCumprod = kept((config) => {
  const betas = noiseBetas(config);
  return cumprod(
    (config.rescale_betas_zero_snr ? rescaleZeroTerminalSnr(betas) : betas).map((beta) => fround(1 - beta)),
  );
});

/** Noise over signal at each training timestep; a zero signal is kept at 2^-24, as diffusers' sigma schedulers do. Not to be changed. */
export const trainingSigmas = kept((config) => {
  const alphas = alphasCumprod(config).slice();
  if (config.rescale_betas_zero_snr) alphas[alphas.length - 1] = 2 ** -24;
  return alphas.map((alpha) => fround(Math.sqrt(fround(fround(1 - alpha) / alpha))));
});

/** Each request asks three times for the schedule that its model was trained with: the last few are kept. */
function kept(compute: (config: SchedulerConfig) => Float64Array): (config: SchedulerConfig) => Float64Array {
  const known = new Map<string, Float64Array>();
  return (config) => {
    const { num_train_timesteps, trained_betas, beta_start, beta_end, beta_schedule, rescale_betas_zero_snr } = config;
    const deciding = [num_train_timesteps, trained_betas, beta_start, beta_end, beta_schedule, rescale_betas_zero_snr];
    const key = JSON.stringify(deciding);
    const values = known.get(key) ?? compute(config);
    known.delete(key);
    known.set(key, values);
    if (known.size > mostKept) known.delete(known.keys().next().value!);
    return values;
  };
}

/** Values of `table` at fractional positions, linear between entries, as `np.interp(x, arange, table)`. */
export function interpolate(table: Float64Array, x: number): number {
  const clamped = Math.min(Math.max(x, 0), table.length - 1);
  const low = Math.floor(clamped);
  const high = Math.min(low + 1, table.length - 1);
  return table[low]! + (table[high]! - table[low]!) * (clamped - low);
}

/** The fractional timesteps at which the training schedule has these sigmas, linear in log sigma (`_sigma_to_t`). */
export function timestepsOfSigmas(sigmas: Float64Array, training: Float64Array): Float64Array {
  const logs = training.map((sigma) => fround(Math.log(sigma)));
  return sigmas.map((sigma) => {
    const logSigma = Math.log(Math.max(sigma, 1e-10));
    const low = Math.max(Math.min(countUpTo(logs, logSigma), logs.length - 1) - 1, 0);
    const [a, b] = [logs[low]!, logs[low + 1]!];
    const weight = Math.min(Math.max((a - logSigma) / (a - b), 0), 1);
    return (1 - weight) * low + weight * (low + 1);
  });
}

/** How many of the rising `values` are at most `limit`. */
function countUpTo(values: Float64Array, limit: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function noiseBetas(config: SchedulerConfig): Float64Array {
  const count = trainTimesteps(config);
  if (config.trained_betas) {
    if (config.trained_betas.length === count) return Float64Array.from(config.trained_betas, fround);
    throw new UnsupportedSchedulerError(
      `trained_betas has ${config.trained_betas.length} entries, num_train_timesteps is ${count}`,
    );
  }
  const start = config.beta_start ?? 0.0001;
  const end = config.beta_end ?? 0.02;
  switch (choice('beta_schedule', config.beta_schedule, ['linear', 'scaled_linear', 'squaredcos_cap_v2'], 'linear')) {
    case 'linear':
      return torchLinspace(start, end, count);
    case 'scaled_linear':
      return torchLinspace(Math.sqrt(start), Math.sqrt(end), count).map((x) => fround(x * x));
    case 'squaredcos_cap_v2': {
      const bar = (t: number) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
      return Float64Array.from({ length: count }, (_, i) =>
        fround(Math.min(1 - bar((i + 1) / count) / bar(i / count), 0.999)),
      );
    }
  }
}

/** Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1. */
function rescaleZeroTerminalSnr(betas: Float64Array): Float64Array {
  const roots = cumprod(betas.map((beta) => fround(1 - beta))).map((alpha) => fround(Math.sqrt(alpha)));
  const first = roots[0]!;
  const last = roots[roots.length - 1]!;
  const scale = fround(first / fround(first - last));
  const alphas = roots.map((root) => fround(fround(fround(root - last) * scale) ** 2));
  return alphas.map((alpha, i) => fround(1 - (i === 0 ? alpha : fround(alpha / alphas[i - 1]!))));
}

/** `torch.cumprod`: accumulates in float64, each entry is float32. */
function cumprod(values: Float64Array): Float64Array {
  let product = 1;
  return values.map((value) => {
    product *= value;
    return fround(product);
  });
}

/** `torch.linspace` in float32, which counts from both ends to the middle. */
function torchLinspace(start: number, end: number, count: number): Float64Array {
  const stride = fround((fround(end) - fround(start)) / (count - 1));
  return Float64Array.from({ length: count }, (_, i) =>
    fround(i < count / 2 ? fround(start) + stride * i : fround(end) - stride * (count - 1 - i)),
  );
}
