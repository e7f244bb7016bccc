// What every noise scheduler is, and how it reads its config. Names are diffusers'; source: its schedulers/scheduling_*.py.

import type { TorchGenerator } from '../numbers/noise.js';

/** scheduler/scheduler_config.json, the keys that are read. What is absent takes the class's default, as in diffusers. */
export interface SchedulerConfig {
  /** The class that the model was trained or published with: it says what kind of schedule the model knows. */
  readonly _class_name?: string;
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
  readonly use_exponential_sigmas?: boolean | null;
  readonly use_beta_sigmas?: boolean | null;
  readonly final_sigmas_type?: string;
  readonly solver_order?: number;
  readonly solver_type?: string;
  readonly algorithm_type?: string;
  readonly lower_order_final?: boolean;
  readonly euler_at_final?: boolean;
  readonly original_inference_steps?: number;
  readonly timestep_scaling?: number;
  readonly variance_type?: string | null;
  readonly predict_x0?: boolean;
  readonly solver_p?: unknown;
  readonly skip_prk_steps?: boolean;
  readonly disable_corrector?: readonly number[];
  readonly sigma_min?: number | null;
  readonly sigma_max?: number | null;
  /** Not of diffusers' configs, where it is an argument of the pipeline. */
  readonly eta?: number;
  readonly thresholding?: boolean;
  readonly use_lu_lambdas?: boolean | null;
  readonly use_flow_sigmas?: boolean | null;
  readonly flow_shift?: number;
  readonly shift?: number;
  readonly shift_terminal?: number | null;
  readonly use_dynamic_shifting?: boolean | null;
  /** Of a dynamic shift: mu at two counts of tokens. */
  readonly base_shift?: number;
  readonly max_shift?: number;
  readonly base_image_seq_len?: number;
  readonly max_image_seq_len?: number;
  readonly time_shift_type?: string;
  readonly invert_sigmas?: boolean;
  readonly stochastic_sampling?: boolean;
  readonly sigma_data?: number;
  readonly sigma_schedule?: string;
  readonly rho?: number;
  readonly predictor_order?: number;
  readonly corrector_order?: number;
  readonly interpolation_type?: string;
  readonly timestep_type?: string;
  readonly lambda_min_clipped?: number | null;
  /** Not of diffusers' configs: of pipelines that lay the sigmas themselves, the side of a token in pixels. */
  readonly flow?: { readonly tokenSide: number };
}

/**
 * A noise scheduler for one request: what its solver remembers of earlier steps is in it, so it is never shared.
 * The request owns the index. All arrays are latents of one picture, flat, float32.
 */
export interface Scheduler {
  /** The whole schedule, noisiest first. img2img runs its tail. */
  readonly timesteps: Float64Array;
  /** Noise levels as diffusers lists them, the last one being where the schedule ends; absent where a class has none. */
  readonly sigmas?: Float64Array;
  /** Timesteps per step of the schedule: 2 for Heun and DPM2, whose steps take two UNet calls. */
  readonly order: 1 | 2;
  /** Mixes noise into clean latents so that they stand at `timesteps[index]`. */
  addNoise(latents: Float32Array, noise: Float32Array, index: number): Float32Array;
  /** What the UNet gets for the latents at `timesteps[index]`. */
  scaleModelInput(latents: Float32Array, index: number): Float32Array;
  /**
   * Goes from `timesteps[index]` to the next one, given the UNet's output. Called for rising `index`, each once.
   * @param generator the request's; schedulers that add noise draw it here, where diffusers does
   */
  step(modelOutput: Float32Array, index: number, latents: Float32Array, generator: TorchGenerator): Float32Array;
}

/** What a folder's config or a request asks of a scheduler and cannot have, in one sentence. */
export class UnsupportedSchedulerError extends Error {
  /** @param field of the request that another value would help */
  constructor(
    message: string,
    readonly field: 'scheduler' | 'steps' = 'scheduler',
  ) {
    super(message);
  }
}

/** Reads a choice from a config; an unknown value is an error that lists what is known. */
export function choice<T extends string>(key: string, value: string | undefined, known: readonly T[], fallback: T): T {
  if (value === undefined) return fallback;
  if ((known as readonly string[]).includes(value)) return value as T;
  throw new UnsupportedSchedulerError(
    `${key} ${JSON.stringify(value)} is not supported (supported: ${known.join(', ')})`,
  );
}

type RefusedKey = 'thresholding' | 'use_lu_lambdas';

/** Keys that the class reads in diffusers and nothing here does: better refused than ignored. */
export function refuse(config: SchedulerConfig, ...keys: readonly RefusedKey[]): void {
  for (const key of keys) if (config[key]) throw new UnsupportedSchedulerError(`${key} is not supported`);
}

/** Where a schedule ends: without noise, or at the `least` sigma. */
export function finalSigma(config: SchedulerConfig, least: number): number {
  return choice('final_sigmas_type', config.final_sigmas_type, ['zero', 'sigma_min'], 'zero') === 'zero' ? 0 : least;
}

export function trainTimesteps(config: SchedulerConfig): number {
  return config.num_train_timesteps ?? 1000;
}

/** What Stable Diffusion's pipelines set in their scheduler, whatever its file says. Those of SDXL and LCM do not. */
export function stableDiffusionConfig(config: SchedulerConfig): SchedulerConfig {
  return { ...config, steps_offset: 1, clip_sample: false };
}

/** out[i] = a * x[i] + b * y[i], rounded to float32 wherever torch rounds: it shows where large sigmas cancel. */
export function combine(a: number, x: Float32Array, b: number, y: Float32Array): Float32Array {
  const out = new Float32Array(x.length);
  const [p, q] = [Math.fround(a), Math.fround(b)];
  for (let i = 0; i < x.length; i++) out[i] = Math.fround(p * x[i]!) + Math.fround(q * y[i]!);
  return out;
}

/** out[i] = sum over k of factors[k] * arrays[k][i], in float32. */
export function weightedSum(factors: readonly number[], arrays: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(arrays[0]!.length);
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (let k = 0; k < factors.length; k++) sum += factors[k]! * arrays[k]![i]!;
    out[i] = sum;
  }
  return out;
}
