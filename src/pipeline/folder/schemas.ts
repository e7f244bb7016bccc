// What the JSON files of a model folder may say: types and ranges of the keys that are read. What is absurd is told when the
// folder is read, not by whoever runs out of memory.

import { type Static, type TSchema, Type } from 'typebox';
import { computingPrecisions, maxSide, type Vocabulary, vocabularyGroups } from '../../model-facts.js';
import { schedulerNames } from '../schedulers/index.js';
import type { Json } from './configs.js';

const optional = <T extends Record<string, TSchema>>(properties: T, options = {}) =>
  Type.Partial(Type.Object(properties), options);
const closed = { additionalProperties: false };
const text = (maxLength: number) => Type.String({ maxLength });
const count = (maximum: number) => Type.Integer({ minimum: 1, maximum });
const positive = (maximum: number) => Type.Number({ exclusiveMinimum: 0, maximum });
/** Variance of the noise that one training timestep adds. */
const beta = Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 });
const side = count(maxSide.any);
/** A schedule is computed in the HTTP process too, for each request. */
const maxTrainTimesteps = 10_000;

export const ModelIndex = optional({
  _class_name: text(200),
  _name_or_path: text(4096),
  force_zeros_for_empty_prompt: Type.Boolean(),
  requires_aesthetics_score: Type.Boolean(),
});

/** config.json of UNet, VAE and text encoders. */
export const PartConfig = optional({
  block_out_channels: Type.Array(count(65_536), { minItems: 1, maxItems: 8 }),
  in_channels: count(1024),
  out_channels: count(1024),
  latent_channels: count(512),
  latents_mean: Type.Array(Type.Number(), { maxItems: 512 }),
  latents_std: Type.Array(positive(1e6), { maxItems: 512 }),
  scaling_factor: positive(1e6),
  shift_factor: Type.Number({ minimum: -1e6, maximum: 1e6 }),
  force_upcast: Type.Boolean(),
  time_cond_proj_dim: count(65_536),
  max_position_embeddings: Type.Integer({ minimum: 3, maximum: 4096 }),
  num_hidden_layers: count(1000),
  patch_size: count(64),
  pos_embed_max_size: count(65_536),
  joint_attention_dim: count(65_536),
});

export const SchedulerFile = optional({
  _class_name: text(200),
  num_train_timesteps: count(maxTrainTimesteps),
  beta_start: beta,
  beta_end: beta,
  beta_schedule: text(100),
  trained_betas: Type.Array(beta, { minItems: 1, maxItems: maxTrainTimesteps }),
  prediction_type: text(100),
  timestep_spacing: text(100),
  steps_offset: Type.Integer({ minimum: 0, maximum: maxTrainTimesteps }),
  rescale_betas_zero_snr: Type.Boolean(),
  set_alpha_to_one: Type.Boolean(),
  clip_sample: Type.Boolean(),
  clip_sample_range: positive(1e6),
  use_karras_sigmas: Type.Boolean(),
  final_sigmas_type: text(100),
  solver_order: Type.Integer({ minimum: 1, maximum: 3 }),
  solver_type: text(100),
  algorithm_type: text(100),
  lower_order_final: Type.Boolean(),
  euler_at_final: Type.Boolean(),
  original_inference_steps: count(maxTrainTimesteps),
  timestep_scaling: positive(1e6),
  variance_type: text(100),
  predict_x0: Type.Boolean(),
  skip_prk_steps: Type.Boolean(),
  disable_corrector: Type.Array(Type.Integer({ minimum: 0, maximum: maxTrainTimesteps }), { maxItems: 1000 }),
  sigma_min: positive(1e6),
  sigma_max: positive(1e6),
  eta: Type.Number({ minimum: 0, maximum: 1 }),
  thresholding: Type.Boolean(),
  use_beta_sigmas: Type.Boolean(),
  use_exponential_sigmas: Type.Boolean(),
  use_lu_lambdas: Type.Boolean(),
  use_flow_sigmas: Type.Boolean(),
  interpolation_type: text(100),
  timestep_type: text(100),
  lambda_min_clipped: Type.Number({ minimum: -1e6, maximum: 0 }),
  shift: positive(1e6),
  shift_terminal: Type.Number({ minimum: 0, exclusiveMaximum: 1 }),
  use_dynamic_shifting: Type.Boolean(),
  time_shift_type: text(100),
  base_shift: Type.Number({ minimum: -20, maximum: 20 }),
  max_shift: Type.Number({ minimum: -20, maximum: 20 }),
  base_image_seq_len: count(1_000_000),
  max_image_seq_len: count(1_000_000),
  invert_sigmas: Type.Boolean(),
  stochastic_sampling: Type.Boolean(),
});

/** Keys of the VAE's config.json: how its latents become the UNet's. */
const { scaling_factor, shift_factor, latents_mean, latents_std } = PartConfig.properties;
const vae = optional({ scaling_factor, shift_factor, latents_mean, latents_std }, closed);

/** The list goes to every reader of GET /models. */
const words = Type.Array(Type.String({ pattern: '\\S', maxLength: 100 }), { maxItems: 1000 });

/** Characters. */
export const maxSettingLength = { title: 200, description: 4000, license: 200 } as const;

const settings = {
  title: text(maxSettingLength.title),
  description: text(maxSettingLength.description),
  license: text(maxSettingLength.license),
  defaults: optional(
    {
      steps: count(1000),
      guidance: Type.Number({ minimum: 0, maximum: 30 }),
      image_guidance: Type.Number({ minimum: 0, maximum: 30 }),
      scheduler: Type.Enum(schedulerNames, { type: 'string' }),
    },
    closed,
  ),
  size: optional({ native: count(maxSide.native), multiple: side, min: side, max: side }, closed),
  vocabulary: optional(
    Object.fromEntries(vocabularyGroups.map((group) => [group, words])) as Record<keyof Vocabulary, typeof words>,
    closed,
  ),
  turbo: Type.Boolean(),
  guidance_rescale: Type.Number({ minimum: 0, maximum: 1 }),
  clip_skip: Type.Integer({ minimum: 0, maximum: 100 }),
  tiny_vae: optional({ path: Type.String({ minLength: 1, maxLength: 1000 }), decode: Type.Boolean() }, closed),
};

const precision = Type.Enum([...computingPrecisions], { type: 'string' });
const precisions = optional(
  {
    unet: precision,
    transformer: precision,
    vae: precision,
    text_encoder: precision,
    text_encoder_2: precision,
    text_encoder_3: precision,
    tiny_vae: precision,
  },
  closed,
);
/** For all parts, or for each that is named: a mistake is told as one of what was meant. */
const anyPrecision = (written: unknown) => (typeof written === 'object' ? precisions : precision);

/**
 * img2img.json: the one file that is written for this server, so that an unknown key is a mistake.
 * @param written what the file holds
 */
export const settingsSchema = (written: Json) =>
  optional({ ...settings, precision: anyPrecision(written.precision) }, closed);
const whole = optional({ ...settings, precision: Type.Union([precision, precisions]) });
export type Settings = Static<typeof whole>;

/**
 * Settings of a model without configs: NAME.img2img.json beside a single file, img2img.json of a folder of nothing but graphs.
 * @param written what they hold; `scheduler` may be a name, or keys of scheduler_config.json
 * @param more keys that are known
 */
export const fileSettings = ({ scheduler, precision }: Json, more: Record<string, TSchema> = {}) =>
  optional(
    {
      ...settings,
      ...more,
      precision: anyPrecision(precision),
      prediction_type: Type.Enum(['epsilon', 'v_prediction', 'sample'], { type: 'string' }),
      zero_snr: Type.Boolean(),
      scheduler: typeof scheduler === 'string' ? Type.Enum(schedulerNames, { type: 'string' }) : SchedulerFile,
      vae,
    },
    closed,
  );

/** Of a single file, whose text encoders may be those of a folder beside it. */
export const singleFileSettings = (written: Json) =>
  fileSettings(written, { text_encoders: Type.String({ minLength: 1, maxLength: 255 }) });
