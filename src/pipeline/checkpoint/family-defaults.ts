// What a single file cannot say: prediction type, noise schedule, native size; each with what decided it. It comes from the
// settings beside the file, else from its metadata (modelspec, github.com/Stability-AI/ModelSpec), else from keys that tell, else
// from the family's own models.

import { type Json, number } from '../folder/configs.js';
import { maxSettingLength } from '../folder/schemas.js';
import { type Decided, firstOf } from './decided.js';
import type { Tensors } from './written-part.js';

export type FileFamily = 'sd1' | 'sd2' | 'sdxl' | 'sdxl-refiner';

export interface FileFacts {
  readonly family: FileFamily;
  /** The UNet sees a starter beside the latents, for inpainting or for edits: it was tuned from a model that predicts noise. */
  readonly seesStarter: 'masked' | 'whole' | undefined;
  readonly turbo: Decided<boolean>;
  readonly latentConsistency: boolean;
  readonly tensors: Tensors;
  readonly metadata: ReadonlyMap<string, string>;
  /** NAME.img2img.json, checked */
  readonly settings: Json;
  readonly settingsFile: string;
}

/** @param channels of the UNet */
export function starterSeen({
  in: input,
  out,
}: {
  readonly in: number;
  readonly out: number;
}): FileFacts['seesStarter'] {
  return input === 2 * out + 1 ? 'masked' : input === 2 * out ? 'whole' : undefined;
}

export const defaultOf = ({ family }: Pick<FileFacts, 'family'>) => `the default of ${family}`;

/** @param stem the file's name without its end */
export function turbo(
  stem: string,
  { family, metadata, settings, settingsFile }: Pick<FileFacts, 'family' | 'metadata' | 'settings' | 'settingsFile'>,
): Decided<boolean> {
  const says = (text: string) => /turbo/i.test(text) || undefined;
  return firstOf<boolean>(
    [settings.turbo, settingsFile],
    [says(stem), "the file's name"],
    [says(metadata.get('modelspec.title') ?? ''), 'metadata modelspec.title'],
    [false, defaultOf({ family })],
  );
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
/** As InstructPix2Pix was published. */
const edits = { ...schedulers.sd1, _class_name: 'EulerAncestralDiscreteScheduler' };
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

/** scheduler_config.json, and what its telling keys come from. */
export function schedulerJson(facts: FileFacts): {
  readonly json: Json;
  readonly origins: Readonly<Record<string, string>>;
} {
  const { family, settings, settingsFile, turbo, latentConsistency: consistent } = facts;
  const zeroSnr = firstOf<boolean>(
    [settings.zero_snr, settingsFile],
    [facts.tensors.has('ztsnr') || undefined, 'the key ztsnr'],
    [false, defaultOf(facts)],
  );
  const prediction = predictionType(facts);
  const own = consistent ? latentConsistency : facts.seesStarter === 'whole' ? edits : schedulers[family];
  const trailing = { timestep_spacing: 'trailing', steps_offset: 0 };
  const turboClass = family === 'sdxl' ? 'EulerAncestralDiscreteScheduler' : 'EulerDiscreteScheduler';
  const said = isObject(settings.scheduler) ? settings.scheduler : {};
  const from = turbo.value
    ? `turbo, as ${turbo.from} says`
    : consistent
      ? 'the key time_embedding.cond_proj.weight'
      : facts.seesStarter === 'whole'
        ? 'the default of InstructPix2Pix'
        : defaultOf(facts);
  return {
    json: {
      ...own,
      ...(turbo.value && { ...betas, ...trailing, _class_name: turboClass }),
      prediction_type: prediction.value,
      ...(zeroSnr.value && { ...trailing, rescale_betas_zero_snr: true }),
      ...said,
    },
    origins: {
      _class_name: from,
      timestep_spacing: zeroSnr.value ? zeroSnr.from : from,
      prediction_type: prediction.from,
      rescale_betas_zero_snr: zeroSnr.from,
      ...Object.fromEntries(Object.keys(said).map((key) => [key, settingsFile])),
    },
  };
}

function predictionType(facts: FileFacts): Decided<string> {
  const { family, seesStarter, turbo, tensors, metadata, settings, settingsFile } = facts;
  const told = metadata.get('modelspec.prediction_type') ?? '';
  const words: Readonly<Record<string, string>> = {
    epsilon: 'epsilon',
    v: 'v_prediction',
    v_prediction: 'v_prediction',
  };
  const architecture = metadata.get('modelspec.architecture') ?? '';
  const second = architecture.startsWith('stable-diffusion-v2');
  return firstOf<string>(
    [settings.prediction_type, settingsFile],
    [Object.hasOwn(words, told) ? words[told] : undefined, 'metadata modelspec.prediction_type'],
    [
      second ? (architecture.includes('-v2-768') ? 'v_prediction' : 'epsilon') : undefined,
      'metadata modelspec.architecture',
    ],
    [tensors.has('v_pred') ? 'v_prediction' : undefined, 'the key v_pred'],
    [family === 'sd2' && !seesStarter && !turbo.value ? 'v_prediction' : 'epsilon', defaultOf(facts)],
  );
}

/** Side of the latents that the model was made for. */
export function sampleSize(facts: FileFacts): Decided<number> {
  const [width, height] = (facts.metadata.get('modelspec.resolution') ?? '').split('x').map(Number);
  const told = width === height ? number(width) : undefined;
  const right = told !== undefined && told >= 64 && told <= 4096 && told % 64 === 0;
  return firstOf<number>(
    [right ? told / 8 : undefined, 'metadata modelspec.resolution'],
    [familySide(facts) / 8, defaultOf(facts)],
  );
}

/** Pixels. */
function familySide(facts: FileFacts): number {
  if (facts.family === 'sdxl' || facts.family === 'sdxl-refiner') return facts.turbo.value ? 512 : 1024;
  return facts.family === 'sd2' && predictionType(facts).value === 'v_prediction' ? 768 : 512;
}

export function pipelineJson(facts: FileFacts): Json {
  const { family, metadata } = facts;
  const xl = family === 'sdxl' || family === 'sdxl-refiner';
  const edits = facts.seesStarter === 'whole' && !facts.latentConsistency;
  const plain = facts.latentConsistency
    ? 'LatentConsistencyModelPipeline'
    : edits
      ? 'StableDiffusionInstructPix2PixPipeline'
      : 'StableDiffusionPipeline';
  return {
    _class_name: xl ? 'StableDiffusionXLPipeline' : plain,
    _name_or_path: (metadata.get('modelspec.title') ?? '').slice(0, maxSettingLength.title),
    requires_aesthetics_score: family === 'sdxl-refiner',
    force_zeros_for_empty_prompt: family === 'sdxl',
  };
}

/** img2img.json: the settings, and from the metadata what they do not say; and what each of its keys comes from. */
export function settingsJson({
  settings,
  settingsFile,
  metadata,
}: Pick<FileFacts, 'settings' | 'settingsFile' | 'metadata'>): {
  readonly json: Json;
  readonly origins: Readonly<Record<string, string>>;
} {
  const told = Object.entries(maxSettingLength).flatMap(([key, length]): [string, string][] => {
    const text = metadata.get(`modelspec.${key}`);
    return text ? [[key, text.slice(0, length)]] : [];
  });
  const { scheduler, prediction_type: _type, zero_snr: _snr, vae: _vae, ...own } = settings;
  const named = typeof scheduler === 'string' && { defaults: { scheduler, ...own.defaults } };
  return {
    json: { ...Object.fromEntries(told), ...own, ...named },
    origins: {
      ...Object.fromEntries(told.map(([key]) => [key, `metadata modelspec.${key}`])),
      ...Object.fromEntries(Object.keys({ ...own, ...named }).map((key) => [key, settingsFile])),
    },
  };
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
