// The sigmas of flow matching models: the share of noise in latents that are `(1 - sigma) * clean + sigma * noise`.
// Source: Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", section 5.3.2, for the shift;
// diffusers, scheduling_flow_match_euler_discrete.py.

import { choice, type SchedulerConfig, trainTimesteps, UnsupportedSchedulerError } from './schedule.js';
import { linspace } from './timesteps.js';

/** What a flow model's pipeline gives its scheduler, beside the config. */
export interface FlowRequest {
  /** Of a dynamic shift, from the size of the picture (diffusers' calculate_shift). */
  readonly mu?: number;
  /** The pipeline lays its own sigmas, from 1 to 1 / steps, as Flux's does; else they end near 1 / num_train_timesteps. */
  readonly pipelineSigmas?: boolean;
}

/** More noise for `shift` above 1; 0 and 1 stay. */
export const shifted = (shift: number, sigma: number) => (shift * sigma) / (1 + (shift - 1) * sigma);

/** What diffusers' pipelines take where a config says nothing. */
export const defaultShift = { baseTokens: 256, mostTokens: 4096, base: 0.5, most: 1.15 } as const;

/** The mu of a picture, on a line through those of two counts of tokens (calculate_shift). */
export function muOf(tokens: number, config: SchedulerConfig): number {
  const { base_image_seq_len: from = defaultShift.baseTokens, max_image_seq_len: to = defaultShift.mostTokens } =
    config;
  const { base_shift: base = defaultShift.base, max_shift: most = defaultShift.most } = config;
  const slope = (most - base) / (to - from);
  return tokens * slope + base - slope * from;
}

/** What the pipeline of a model gives, where it lays the sigmas. @param size in pixels; absent for any, where only steps count */
export function flowOf(
  config: SchedulerConfig,
  size?: { readonly width: number; readonly height: number },
): FlowRequest {
  if (!config.flow) return {};
  const { tokenSide } = config.flow;
  const tokens = size ? (size.width * size.height) / tokenSide ** 2 : defaultShift.baseTokens;
  return { pipelineSigmas: true, mu: muOf(tokens, config) };
}

/** The factor that a dynamic shift's mu comes to; else the config's own. */
export function shiftOf(config: SchedulerConfig, mu: number | undefined, own = 1): number {
  const type = choice('time_shift_type', config.time_shift_type, ['exponential', 'linear'], 'exponential');
  if (!config.use_dynamic_shifting || mu === undefined) return own;
  const shift = type === 'linear' ? mu : Math.exp(mu);
  if (shift > 0 && shift < Number.POSITIVE_INFINITY) return shift;
  throw new UnsupportedSchedulerError(`its dynamic shift would be ${shift}, by a mu of ${mu}`);
}

/** Stretches the schedule so that it ends at `terminal`. */
export function stretched(sigmas: Float64Array, terminal: number | null | undefined): Float64Array {
  if (!terminal) return sigmas;
  const scale = (1 - sigmas.at(-1)!) / (1 - terminal);
  return sigmas.map((sigma) => 1 - (1 - sigma) / scale);
}

/** The grid of a flow in the classes that were made for noise: one point longer before its end is dropped. */
export function dpmFlowSigmas(config: SchedulerConfig, steps: number): Float64Array {
  const shift = config.flow_shift ?? 1;
  return linspace(1, 1 / trainTimesteps(config), steps + 1)
    .map((alpha) => shifted(shift, 1 - alpha))
    .reverse()
    .slice(0, steps);
}

/** UniPC's, which begins a millionth before pure noise, where its lambda would be infinite. */
export function unipcFlowSigmas(config: SchedulerConfig, steps: number): Float64Array {
  const shift = config.flow_shift ?? 1;
  const grid = linspace(1, 1 / trainTimesteps(config), steps + 1).slice(0, steps);
  const sigmas = stretched(
    grid.map((sigma) => shifted(shift, sigma)),
    config.shift_terminal,
  );
  if (Math.abs(sigmas[0]! - 1) < 1e-6) sigmas[0]! -= 1e-6;
  return sigmas;
}

/**
 * The grid of the flow matching classes, shifted. As in diffusers, a shift that is not dynamic counts twice where the pipeline does
 * not lay the sigmas: once for where they end, and once for each.
 */
export function flowSigmas(config: SchedulerConfig, steps: number, { mu, pipelineSigmas }: FlowRequest): Float64Array {
  const train = trainTimesteps(config);
  const dynamic = config.use_dynamic_shifting ?? false;
  if (dynamic && mu === undefined) {
    throw new UnsupportedSchedulerError("use_dynamic_shifting wants a mu, which this model's pipeline does not have");
  }
  const shift = shiftOf(config, mu, config.shift);
  const ends = [1, 1 / train].map((sigma) => Math.fround(dynamic ? sigma : shifted(shift, sigma)));
  const grid = pipelineSigmas
    ? linspace(1, 1 / steps, steps)
    : linspace(train * ends[0]!, train * ends[1]!, steps).map((t) => t / train);
  return grid.map((sigma) => shifted(shift, sigma));
}
