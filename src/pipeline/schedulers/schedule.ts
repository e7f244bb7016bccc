// What the noise schedulers share: their config, the noise schedule (alphas, sigmas) and the grids of timesteps.
// Source: diffusers, schedulers/scheduling_*.py. Names are theirs; alphas are the cumulative product (alpha bar).

/** scheduler/scheduler_config.json, the keys that are read. What is absent takes the class's default, as in diffusers. */
export interface SchedulerConfig {
  readonly num_train_timesteps?: number;
  readonly beta_start?: number;
  readonly beta_end?: number;
  readonly beta_schedule?: string;
  readonly trained_betas?: readonly number[] | null;
  readonly prediction_type?: string;
  readonly timestep_spacing?: string;
  readonly steps_offset?: number;
  readonly rescale_betas_zero_snr?: boolean;
  readonly set_alpha_to_one?: boolean;
  readonly clip_sample?: boolean;
  readonly clip_sample_range?: number;
  readonly use_karras_sigmas?: boolean | null;
  readonly final_sigmas_type?: string;
  readonly solver_order?: number;
  readonly solver_type?: string;
  readonly algorithm_type?: string;
  readonly lower_order_final?: boolean;
  readonly euler_at_final?: boolean;
  readonly thresholding?: boolean;
  readonly use_beta_sigmas?: boolean | null;
  readonly use_exponential_sigmas?: boolean | null;
  readonly use_lu_lambdas?: boolean | null;
  readonly use_flow_sigmas?: boolean | null;
  readonly interpolation_type?: string;
  readonly timestep_type?: string;
  readonly lambda_min_clipped?: number | null;
}

/**
 * A noise scheduler for one request. The request owns the step index; an object is never shared between requests.
 * All arrays are latents of one picture, flat, float32.
 */
export interface Scheduler {
  /** The whole schedule, noisiest first. img2img runs its tail. */
  readonly timesteps: Float64Array;
  /** Mixes noise into clean latents so that they stand at `timesteps[index]`. */
  addNoise(latents: Float32Array, noise: Float32Array, index: number): Float32Array;
  /** What the UNet gets for the latents at `timesteps[index]`. */
  scaleModelInput(latents: Float32Array, index: number): Float32Array;
  /** Goes from `timesteps[index]` to the next one, given the UNet's output. Called for rising `index`, each once. */
  step(modelOutput: Float32Array, index: number, latents: Float32Array): Float32Array;
}

export type PredictionType = 'epsilon' | 'v_prediction' | 'sample';

export class UnsupportedSchedulerError extends Error {}

/** Reads a choice from a config; an unknown value is an error that lists what is known. */
export function choice<T extends string>(key: string, value: string | undefined, known: readonly T[], fallback: T): T {
  if (value === undefined) return fallback;
  if ((known as readonly string[]).includes(value)) return value as T;
  throw new UnsupportedSchedulerError(
    `${key} ${JSON.stringify(value)} is not supported (supported: ${known.join(', ')})`,
  );
}

/** Keys that change diffusers' pictures and that nothing here reads: better refused than ignored. */
export function refuseUnsupported(config: SchedulerConfig): void {
  const refused = [
    'thresholding',
    'use_beta_sigmas',
    'use_exponential_sigmas',
    'use_lu_lambdas',
    'use_flow_sigmas',
  ] as const;
  for (const key of refused) if (config[key]) throw new UnsupportedSchedulerError(`${key} is not supported`);
  choice('interpolation_type', config.interpolation_type, ['linear'], 'linear');
  choice('timestep_type', config.timestep_type, ['discrete'], 'discrete');
  if (Number.isFinite(config.lambda_min_clipped ?? Number.NEGATIVE_INFINITY)) {
    throw new UnsupportedSchedulerError('lambda_min_clipped is not supported');
  }
}

export function predictionType(config: SchedulerConfig): PredictionType {
  return choice('prediction_type', config.prediction_type, ['epsilon', 'v_prediction', 'sample'], 'epsilon');
}

export function trainTimesteps(config: SchedulerConfig): number {
  return config.num_train_timesteps ?? 1000;
}

/**
 * Cumulative products of 1 - beta, one per training timestep, in (0, 1] (0 at the end after a zero-SNR rescale).
 * Rounded to float32 where torch rounds (it accumulates in float64): fractional timesteps depend on it in the fifth digit.
 */
export function alphasCumprod(config: SchedulerConfig): Float64Array {
  const betas = noiseBetas(config);
  const alphas = new Float64Array(betas.length);
  let product = 1;
  for (let i = 0; i < betas.length; i++) {
    product *= Math.fround(1 - Math.fround(betas[i]!));
    alphas[i] = Math.fround(product);
  }
  return config.rescale_betas_zero_snr ? rescaleZeroTerminalSnr(alphas) : alphas;
}

function noiseBetas(config: SchedulerConfig): Float64Array {
  if (config.trained_betas) return Float64Array.from(config.trained_betas);
  const count = trainTimesteps(config);
  const start = config.beta_start ?? 0.0001;
  const end = config.beta_end ?? 0.02;
  switch (choice('beta_schedule', config.beta_schedule, ['linear', 'scaled_linear', 'squaredcos_cap_v2'], 'linear')) {
    case 'linear':
      return torchLinspace(start, end, count);
    case 'scaled_linear':
      return torchLinspace(Math.sqrt(start), Math.sqrt(end), count).map((x) => x * x);
    case 'squaredcos_cap_v2': {
      const bar = (t: number) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
      return Float64Array.from({ length: count }, (_, i) => Math.min(1 - bar((i + 1) / count) / bar(i / count), 0.999));
    }
  }
}

/** Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1. */
function rescaleZeroTerminalSnr(alphas: Float64Array): Float64Array {
  const first = Math.sqrt(alphas[0]!);
  const last = Math.sqrt(alphas[alphas.length - 1]!);
  return alphas.map((alpha) => ((Math.sqrt(alpha) - last) * (first / (first - last))) ** 2);
}

/** Noise over signal at each training timestep; a zero signal is kept at 2^-24, as diffusers' sigma schedulers do. */
export function trainingSigmas(config: SchedulerConfig): Float64Array {
  const alphas = alphasCumprod(config);
  if (config.rescale_betas_zero_snr) alphas[alphas.length - 1] = 2 ** -24;
  return alphas.map((alpha) => Math.sqrt((1 - alpha) / alpha));
}

/** `count` numbers from `start` to `end`, both included. */
export function linspace(start: number, end: number, count: number): Float64Array {
  const stride = count > 1 ? (end - start) / (count - 1) : 0;
  return Float64Array.from({ length: count }, (_, i) => start + stride * i);
}

/** `torch.linspace` in float32, which counts from both ends to the middle. */
function torchLinspace(start: number, end: number, count: number): Float64Array {
  const stride = Math.fround((Math.fround(end) - Math.fround(start)) / (count - 1));
  return Float64Array.from({ length: count }, (_, i) =>
    Math.fround(i < count / 2 ? Math.fround(start) + stride * i : Math.fround(end) - stride * (count - 1 - i)),
  );
}

/** numpy's round: halves go to the even neighbour. */
export function roundHalfEven(x: number): number {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** `round(arange(T, 0, -T / steps)) - 1`; numpy's arange has ceil(T / (T / steps)) entries, one too many for some counts. */
export function trailingTimesteps(train: number, steps: number): Float64Array {
  const ratio = train / steps;
  const count = Math.ceil(train / ratio);
  return Float64Array.from({ length: count }, (_, k) => roundHalfEven(train - k * ratio) - 1);
}

/** Values of `table` at fractional positions, linear between entries, as `np.interp(x, arange, table)`. */
export function interpolate(table: Float64Array, x: number): number {
  const clamped = Math.min(Math.max(x, 0), table.length - 1);
  const low = Math.floor(clamped);
  const high = Math.min(low + 1, table.length - 1);
  return table[low]! + (table[high]! - table[low]!) * (clamped - low);
}

/** Karras et al. 2022, equation 5, rho = 7: `count` sigmas from `max` down to `min`. */
export function karrasSigmas(max: number, min: number, count: number): Float64Array {
  const rho = 7;
  const top = max ** (1 / rho);
  const bottom = min ** (1 / rho);
  return linspace(0, 1, count).map((ramp) => (top + ramp * (bottom - top)) ** rho);
}

/** The fractional timestep at which the training schedule has `sigma`, by interpolation in log sigma (`_sigma_to_t`). */
export function sigmaToTimestep(sigma: number, training: Float64Array): number {
  const logSigma = Math.log(Math.max(sigma, 1e-10));
  let low = 0;
  while (low < training.length - 2 && Math.log(training[low + 1]!) <= logSigma) low++;
  const a = Math.log(training[low]!);
  const b = Math.log(training[low + 1]!);
  const weight = Math.min(Math.max((a - logSigma) / (a - b), 0), 1);
  return (1 - weight) * low + weight * (low + 1);
}

/** out[i] = a * x[i] + b * y[i], in float32. */
export function combine(a: number, x: Float32Array, b: number, y: Float32Array): Float32Array {
  const out = new Float32Array(x.length);
  for (let i = 0; i < x.length; i++) out[i] = a * x[i]! + b * y[i]!;
  return out;
}
