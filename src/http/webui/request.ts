// What a request of the web UI asks for, in our words.

import type { MaskReading } from '../../image/host/picture-reader.js';
import type { Generator } from '../generators/generator.js';
import type { ClientNames } from '../pictures/client-names.js';
import { maxSeed, type Sent } from '../pictures/fields.js';
import type { Warning } from '../pictures/warnings.js';
import { fieldProblem } from '../problems/problems.js';
import type { WebuiBody } from './fields.js';
import { findSampler, type Sampler, type Schedule, samplerOf, samplers, schedulerOf, schedules } from './samplers.js';

export interface WebuiRequest {
  readonly body: Sent;
  /** Pictures, each with a seed of its own. */
  readonly n: number;
  readonly maskReading: MaskReading;
  readonly sampler: Sampler;
  readonly schedule: Schedule;
  readonly warnings: readonly Warning[];
}

/** The web UI's words for what it comes to. */
export const webuiNames: ClientNames = {
  image: { field: 'init_images' },
  lora: { field: 'prompt' },
  model: { field: 'override_settings.sd_model_checkpoint' },
  strength: { field: 'denoising_strength' },
  guidance: { field: 'cfg_scale' },
  image_guidance: { field: 'image_cfg_scale' },
};

const fits = ['fill', 'cover', 'extend'] as const;

/** What of the model that a request names matters to how it is read. */
export interface AskedModel {
  /** Absent for the default. */
  readonly name: string | undefined;
  /** That it is; its defaults beat the web UI's. */
  readonly generator: Generator | undefined;
  readonly takesImageGuidance: boolean;
}

/** @throws Problem for what this server does not have */
export function readRequest(sent: WebuiBody, maxN: number, model: AskedModel): WebuiRequest {
  refuseScripts(sent);
  const n = count(sent, maxN);
  const { sampler, schedule } = samplerAsked(sent, model.generator);
  const seed = seedOf(sent);
  const body = { ...translate(sent, sampler, schedule, model), seed };
  const warnings = seed === (sent.seed ?? -1) ? [] : (['seed_wrapped'] as const);
  return { body, n, maskReading: reading(sent), sampler, schedule, warnings };
}

/** The web UI's masks are opaque where to repaint, or white where they are opaque everywhere; and blurred. */
const reading = ({ mask_blur = 4, inpainting_mask_invert = 0 }: WebuiBody): MaskReading => ({
  channel: 'opacity',
  blur: mask_blur,
  invert: inpainting_mask_invert === 1,
});

function refuseScripts({ script_name = '', alwayson_scripts = {} }: WebuiBody): void {
  const names = [...(script_name === '' ? [] : [script_name]), ...Object.keys(alwayson_scripts)];
  if (names.length === 0) return;
  const field = script_name === '' ? 'alwayson_scripts' : 'script_name';
  const detail = `${field} asks for ${JSON.stringify(names.join(', ').slice(0, 100))}; this server has no scripts and no extensions.`;
  throw fieldProblem('unsupported_combination', field, detail);
}

function count({ batch_size = 1, n_iter = 1 }: WebuiBody, max: number): number {
  const n = batch_size * n_iter;
  if (n <= max) return n;
  const detail = `batch_size times n_iter is ${n}; it must be at most ${max}.`;
  throw fieldProblem('invalid_request', 'n_iter', detail);
}

/** torch's generator takes any integer there, and distinguishes them modulo 2^32. */
function seedOf({ seed = -1 }: WebuiBody): number {
  const count = maxSeed + 1;
  return seed === -1 ? seed : ((seed % count) + count) % count;
}

function samplerAsked(sent: WebuiBody, generator?: Generator): { sampler: Sampler; schedule: Schedule } {
  const usual = generator?.defaults.scheduler;
  if (usual && (sent.sampler_name ?? sent.sampler_index) === undefined) return samplerOf(usual);
  const name = sent.sampler_name ?? sent.sampler_index ?? 'Euler';
  const found = findSampler(name);
  if (!found) {
    const offered = samplers.map((sampler) => sampler.name).join(', ');
    throw fieldProblem(
      'invalid_request',
      'sampler_name',
      `sampler_name is ${JSON.stringify(name)}; there are: ${offered}.`,
    );
  }
  const asked = (sent.scheduler ?? 'automatic').toLowerCase();
  const schedule = found.schedule ?? schedules.find((one) => one === asked);
  if (!schedule) {
    const detail = `scheduler is ${JSON.stringify(sent.scheduler)}; there are: ${schedules.join(', ')}.`;
    throw fieldProblem('invalid_request', 'scheduler', detail);
  }
  return { sampler: found.sampler, schedule };
}

function translate(
  sent: WebuiBody,
  sampler: Sampler,
  schedule: Schedule,
  { name: model, generator, takesImageGuidance }: AskedModel,
): Sent {
  const scheduler = schedulerOf(sampler, schedule);
  if (!scheduler) {
    const detail = `The sampler ${sampler.name} has no ${schedule} schedule here.`;
    throw fieldProblem('unsupported_combination', 'scheduler', detail);
  }
  return {
    ...usualOf(generator),
    ...(takesImageGuidance ? imageGuidanceOf(sent) : strengthOf(sent, generator)),
    prompt: sent.prompt ?? '',
    ...(sent.negative_prompt && { negative_prompt: sent.negative_prompt }),
    prompt_syntax: sent.prompt_syntax ?? 'weighted',
    long_prompts: sent.long_prompts ?? true,
    ...(sent.cfg_scale !== undefined && { guidance: sent.cfg_scale }),
    ...(sent.steps !== undefined && { steps: sent.steps }),
    scheduler,
    width: sent.width ?? 512,
    height: sent.height ?? 512,
    fit: fits[sent.resize_mode ?? 0]!,
    ...(model !== undefined && { model }),
    format: 'png',
  };
}

function strengthOf({ denoising_strength: strength }: WebuiBody, generator: Generator | undefined): Sent {
  if (strength !== undefined) return { strength };
  const { strength: own, influence } = generator?.defaults ?? {};
  return own === undefined && influence === undefined ? { strength: 0.75 } : {};
}

/** Of a model that takes one, a strength counts where it is all that was sent: the web UI's default of it is for other models. */
function imageGuidanceOf({ image_cfg_scale, denoising_strength: strength }: WebuiBody): Sent {
  if (image_cfg_scale !== undefined) return { image_guidance: image_cfg_scale };
  return strength === undefined ? {} : { strength };
}

/** The web UI's defaults, but for those that a generator has, and within its limits. */
function usualOf({ defaults = {}, limits = {} }: Partial<Pick<Generator, 'defaults' | 'limits'>> = {}): Sent {
  return {
    ...(defaults.guidance === undefined && { guidance: Math.min(7, limits.guidance ?? 7) }),
    ...(defaults.steps === undefined && { steps: Math.min(50, limits.steps ?? 50) }),
  };
}
