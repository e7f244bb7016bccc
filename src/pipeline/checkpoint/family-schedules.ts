// scheduler_config.json of a single file: it comes from the settings beside the file, else from its metadata, else from keys that tell,
// else from the family's own models.

import { isObject } from '../../is-object.js';
import type { Json } from '../folder/configs.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { type Decided, firstOf } from './decided.js';
import { type Composed, defaultOf, type FileFacts, type FileFamily } from './file-facts.js';

/** They are trained on flows, whose schedule has no noise to predict. */
const flows: readonly FileFamily[] = ['sd3', 'flux'];

const betas = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', num_train_timesteps: 1000 };
const first = { ...betas, clip_sample: false, set_alpha_to_one: false, steps_offset: 1 };
/** scheduler_config.json of the families' first models. */
const schedulers: Readonly<Record<FileFamily, Json>> = {
  sd1: { _class_name: 'PNDMScheduler', ...first, skip_prk_steps: true },
  sd2: { _class_name: 'DDIMScheduler', ...first },
  sdxl: { _class_name: 'EulerDiscreteScheduler', ...betas, timestep_spacing: 'leading', steps_offset: 1 },
  'sdxl-refiner': { _class_name: 'EulerDiscreteScheduler', ...betas, timestep_spacing: 'leading', steps_offset: 1 },
  sd3: { _class_name: 'FlowMatchEulerDiscreteScheduler', num_train_timesteps: 1000, shift: 3 },
  flux: {
    _class_name: 'FlowMatchEulerDiscreteScheduler',
    num_train_timesteps: 1000,
    ...{ shift: 1, use_dynamic_shifting: false, base_shift: 0.5, max_shift: 1.15 },
    ...{ base_image_seq_len: 256, max_image_seq_len: 4096 },
  },
};
/** As dev and Kontext were published, which take a guidance; schnell is the other. */
const guidedFlux = { ...schedulers.flux, shift: 3, use_dynamic_shifting: true };
/** As InstructPix2Pix was published. */
const edits = { ...schedulers.sd1, _class_name: 'EulerAncestralDiscreteScheduler' };
const latentConsistency = {
  _class_name: 'LCMScheduler',
  ...betas,
  set_alpha_to_one: true,
  original_inference_steps: 50,
};

/** scheduler_config.json, and what its telling keys come from. @throws ModelFolderError for settings that the family does not have */
export const schedulerJson = (facts: FileFacts): Composed =>
  flows.includes(facts.family) ? flowSchedulerJson(facts) : noiseSchedulerJson(facts);

function flowSchedulerJson({ family, settings, settingsFile, tensors }: FileFacts): Composed {
  const strange = ['prediction_type', 'zero_snr'].find((key) => (settings[key] ?? null) !== null);
  if (strange !== undefined) {
    throw new ModelFolderError(`${settingsFile} has ${strange}, which flow matching models do not have`);
  }
  const said = isObject(settings.scheduler) ? settings.scheduler : {};
  const isGuided = family === 'flux' && [...tensors.keys()].some((key) => /(^|\.)guidance_in\./.test(key));
  return {
    json: { ...(isGuided ? guidedFlux : schedulers[family]), ...said },
    origins: {
      _class_name: defaultOf({ family }),
      shift: isGuided ? 'the keys guidance_in.…' : defaultOf({ family }),
      ...Object.fromEntries(Object.keys(said).map((key) => [key, settingsFile])),
    },
  };
}

function noiseSchedulerJson(facts: FileFacts): Composed {
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

export function predictionType(facts: FileFacts): Decided<string> {
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
