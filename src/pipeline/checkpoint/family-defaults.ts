// What a single file cannot say: prediction type, noise schedule, native size. It comes from the settings beside the file, else
// from its metadata (modelspec, github.com/Stability-AI/ModelSpec), else from keys that tell, else from the family's own models.

import { type Json, number } from '../folder/configs.js';
import { maxSettingLength } from '../folder/schemas.js';
import type { Tensors } from './written-part.js';

export type FileFamily = 'sd1' | 'sd2' | 'sdxl' | 'sdxl-refiner';

export interface FileFacts {
  readonly family: FileFamily;
  readonly inpaints: boolean;
  readonly turbo: boolean;
  readonly latentConsistency: boolean;
  readonly tensors: Tensors;
  readonly metadata: ReadonlyMap<string, string>;
  /** NAME.img2img.json, checked */
  readonly settings: Json;
}

const betas = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', num_train_timesteps: 1000 };
const first = { ...betas, clip_sample: false, set_alpha_to_one: false, steps_offset: 1 };
/** scheduler_config.json of the families' first models. */
const schedulers: Readonly<Record<FileFamily, Json>> = {
  sd1: { _class_name: 'PNDMScheduler', ...first, skip_prk_steps: true },
  sd2: { _class_name: 'DDIMScheduler', ...first },
  sdxl: { _class_name: 'EulerDiscreteScheduler', ...betas, timestep_spacing: 'leading', steps_offset: 1 },
  'sdxl-refiner': { _class_name: 'EulerDiscreteScheduler', ...betas, timestep_spacing: 'leading', steps_offset: 1 },
};
const latentConsistency = {
  _class_name: 'LCMScheduler',
  ...betas,
  set_alpha_to_one: true,
  original_inference_steps: 50,
};

/** Of the VAE's latents. */
export const scalingFactors: Readonly<Record<FileFamily, number>> = {
  sd1: 0.18215,
  sd2: 0.18215,
  sdxl: 0.13025,
  'sdxl-refiner': 0.13025,
};

/** scheduler_config.json */
export function schedulerJson(facts: FileFacts): Json {
  const { family, settings, turbo } = facts;
  const zeroSnr: boolean = settings.zero_snr ?? facts.tensors.has('ztsnr');
  const own = facts.latentConsistency ? latentConsistency : schedulers[family];
  const trailing = { timestep_spacing: 'trailing', steps_offset: 0 };
  const turboClass = family === 'sdxl' ? 'EulerAncestralDiscreteScheduler' : 'EulerDiscreteScheduler';
  return {
    ...own,
    ...(turbo && { ...betas, ...trailing, _class_name: turboClass }),
    prediction_type: predictionType(facts),
    ...(zeroSnr && { ...trailing, rescale_betas_zero_snr: true }),
    ...(isObject(settings.scheduler) && settings.scheduler),
  };
}

function predictionType({ family, inpaints, turbo, tensors, metadata, settings }: FileFacts): string {
  if (settings.prediction_type) return settings.prediction_type;
  const told = metadata.get('modelspec.prediction_type');
  if (told === 'epsilon') return told;
  if (told === 'v' || told === 'v_prediction') return 'v_prediction';
  const architecture = metadata.get('modelspec.architecture') ?? '';
  if (architecture.startsWith('stable-diffusion-v2'))
    return architecture.includes('-v2-768') ? 'v_prediction' : 'epsilon';
  if (tensors.has('v_pred')) return 'v_prediction';
  return family === 'sd2' && !inpaints && !turbo ? 'v_prediction' : 'epsilon';
}

/** Side of the latents that the model was made for. */
export function sampleSize(facts: FileFacts): number {
  const [width, height] = (facts.metadata.get('modelspec.resolution') ?? '').split('x').map(Number);
  const told = width === height ? number(width) : undefined;
  if (told !== undefined && told >= 64 && told <= 4096 && told % 64 === 0) return told / 8;
  if (facts.family === 'sdxl' || facts.family === 'sdxl-refiner') return facts.turbo ? 64 : 128;
  return facts.family === 'sd2' && predictionType(facts) === 'v_prediction' ? 96 : 64;
}

export function pipelineJson(facts: FileFacts): Json {
  const { family, metadata } = facts;
  const xl = family === 'sdxl' || family === 'sdxl-refiner';
  const plain = facts.latentConsistency ? 'LatentConsistencyModelPipeline' : 'StableDiffusionPipeline';
  return {
    _class_name: xl ? 'StableDiffusionXLPipeline' : plain,
    _name_or_path: (metadata.get('modelspec.title') ?? '').slice(0, maxSettingLength.title),
    requires_aesthetics_score: family === 'sdxl-refiner',
    force_zeros_for_empty_prompt: family === 'sdxl',
  };
}

/** img2img.json: the settings, and from the metadata what they do not say. */
export function settingsJson({ settings, metadata }: Pick<FileFacts, 'settings' | 'metadata'>): Json {
  const told = Object.entries(maxSettingLength).flatMap(([key, length]) => {
    const text = metadata.get(`modelspec.${key}`);
    return text ? [[key, text.slice(0, length)]] : [];
  });
  const { scheduler, prediction_type: _type, zero_snr: _snr, vae: _vae, ...own } = settings;
  const named = typeof scheduler === 'string' && { defaults: { scheduler, ...own.defaults } };
  return { ...Object.fromEntries(told), ...own, ...named };
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
