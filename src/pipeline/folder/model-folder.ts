// What kind of folder is this? Reads a model folder in diffusers' layout (ONNX, of any exporter), without onnxruntime.
// Sources of the defaults: diffusers' model configs; exporters leave some keys out.

import { basename, join } from 'node:path';
import type { Kind, Precision, SizeRange } from '../../model-facts.js';
import { type GraphFacts, graphFacts } from '../onnx/graph-facts.js';
import { dataTypes } from '../onnx/graph-file.js';
import { fittingSchedulers, type SchedulerName, schedulerForClass } from '../schedulers/index.js';
import { type SchedulerConfig, stableDiffusionConfig, UnsupportedSchedulerError } from '../schedulers/schedule.js';
import { type Component, components } from './components.js';
import { checkJson, type Json, number, readJson } from './configs.js';
import { type Family, familyOf, kindDefaults, kindOf } from './family.js';
import { checkFile, isThere } from './files.js';
import { ModelFolderError } from './model-folder-error.js';
import { checkDefaults, readSchedulerConfig } from './scheduler-config.js';
import { ModelIndex, PartConfig, Settings } from './schemas.js';
import { checkSignatures, type Exporter, exporterOf } from './signatures.js';
import { type TextEncoderFacts, textEncoderFacts, textEncoders } from './text-encoders.js';
import { guidanceWidth, halvings, inpaints, latentChannels, sizeRange } from './unet-facts.js';

export interface ModelFolder {
  readonly name: string;
  readonly path: string;
  readonly title: string;
  readonly description: string;
  readonly license: string | null;
  readonly family: Family;
  readonly kind: Kind;
  readonly exporter: Exporter;
  readonly precision: Precision;
  /** The graphs, by component; a text encoder may be absent. */
  readonly graphs: Readonly<Partial<Record<Component, string>>>;
  /** Those that there are, in the order in which their embeddings are joined. */
  readonly textEncoders: readonly TextEncoderFacts[];
  readonly schedulerConfig: SchedulerConfig;
  readonly defaults: { readonly steps: number; readonly guidance: number; readonly scheduler: SchedulerName };
  /** 0..1, how far a guided prediction is brought back to the spread of the prompt's; 0 is off. */
  readonly guidanceRescale: number;
  /** Width of the guidance's embedding, where the UNet takes one. */
  readonly guidanceWidth: number | undefined;
  readonly size: SizeRange;
  /** Of the latents that the UNet predicts. */
  readonly latentChannels: number;
  /** The UNet also takes a mask and the latents of the masked starter. */
  readonly inpaints: boolean;
  /** Of the latents that the VAE's encoder gives. */
  readonly vaeChannels: number;
  /** The distribution's parameters, or a draw that the graph made. */
  readonly encoderGives: 'latent_parameters' | 'latent_sample';
  /** Pixels per latent, along one side. */
  readonly vaeScale: number;
  readonly latentScale: LatentScale;
  /** An empty negative prompt is zeros instead of the encoded empty text. */
  readonly zerosForEmptyPrompt: boolean;
  /** Refiners take an aesthetic score instead of the target size. */
  readonly wantsAestheticScore: boolean;
}

/** latents = (VAE's - mean) / std * factor */
export interface LatentScale {
  readonly factor: number;
  /** Per channel; absent for 0. */
  readonly mean: readonly number[] | undefined;
  /** Per channel; absent for 1. */
  readonly std: readonly number[] | undefined;
}

/**
 * @param provider that is to run it: some graphs run on CUDA only
 * @throws ModelFolderError when something is missing or not supported
 */
export function readModelFolder(path: string, provider: 'cpu' | 'cuda'): ModelFolder {
  const read = (file: string, schema: object, absent?: Json): Json => {
    const json = readJson(path, file, absent);
    checkJson(file, json, schema);
    return json;
  };
  const index = read('model_index.json', ModelIndex);
  const className = String(index._class_name ?? 'unknown');
  const { architecture } = familyOf(className, false);
  const unet = read('unet/config.json', PartConfig, {});
  const vae = {
    ...read('vae_encoder/config.json', PartConfig, {}),
    ...read('vae_decoder/config.json', PartConfig, {}),
  };
  const settings: Settings = read('img2img.json', Settings, {});
  const schedulerConfig = readSchedulerConfig(path);

  const refiner = architecture === 'sdxl' && !isThere(path, 'text_encoder');
  const present: readonly Component[] = components.filter((component) =>
    component === 'text_encoder' ? !refiner : component !== 'text_encoder_2' || architecture === 'sdxl',
  );
  const graphs = Object.fromEntries(present.map((component) => [component, join(path, component, 'model.onnx')]));
  const facts = Object.fromEntries(
    present.map((component) => [component, factsOf(path, component, provider)]),
  ) as Record<Component, GraphFacts>;
  checkSignatures(facts);

  const family = familyOf(className, facts.unet.inputs.has('timestep_cond'));
  const turbo = settings.turbo ?? /turbo/i.test(`${basename(path)} ${index._name_or_path ?? ''}`);
  const velocity = schedulerConfig.prediction_type === 'v_prediction';
  const kind = kindOf({ ...family, turbo: turbo === true, refiner, velocity });

  const vaeScale = 2 ** halvings(vae, facts.vae_encoder);
  const vaeChannels = number(vae.latent_channels) ?? latentChannels(facts.unet, unet);
  const defaults = {
    steps: settings.defaults?.steps ?? kindDefaults[kind].steps,
    guidance: settings.defaults?.guidance ?? kindDefaults[kind].guidance,
    scheduler: settings.defaults?.scheduler ?? defaultScheduler(schedulerConfig),
  };
  checkDefaults(defaults, schedulerConfig, family.latentConsistency);
  return {
    name: basename(path),
    path,
    title: settings.title ?? basename(path),
    description: settings.description ?? '',
    license: settings.license ?? null,
    family,
    kind,
    exporter: exporterOf(facts),
    precision: precisionOf(Object.values(facts)),
    graphs,
    textEncoders: textEncoders
      .filter((component) => present.includes(component))
      .map((component) => textEncoderFacts(path, component, facts[component], family, settings.clip_skip ?? 0)),
    schedulerConfig:
      architecture === 'sd' && !family.latentConsistency ? stableDiffusionConfig(schedulerConfig) : schedulerConfig,
    defaults,
    guidanceRescale: settings.guidance_rescale ?? 0,
    guidanceWidth: guidanceWidth(facts.unet, unet),
    size: sizeRange(settings.size ?? {}, facts.unet, unet, vaeScale, architecture),
    latentChannels: latentChannels(facts.unet, unet),
    inpaints: inpaints(facts.unet, unet),
    vaeChannels,
    encoderGives: facts.vae_encoder.outputs.has('latent_parameters') ? 'latent_parameters' : 'latent_sample',
    vaeScale,
    latentScale: {
      // Older exports leave it out.
      factor: number(vae.scaling_factor) ?? (family.architecture === 'sdxl' ? 0.13025 : 0.18215),
      mean: perChannel('latents_mean', vae, vaeChannels),
      std: perChannel('latents_std', vae, vaeChannels),
    },
    zerosForEmptyPrompt: family.architecture === 'sdxl' && index.force_zeros_for_empty_prompt !== false,
    wantsAestheticScore: index.requires_aesthetics_score === true,
  };
}

function factsOf(folder: string, component: Component, provider: 'cpu' | 'cuda'): GraphFacts {
  const file = `${component}/model.onnx`;
  checkFile(folder, file);
  let facts: GraphFacts;
  try {
    facts = graphFacts(join(folder, file));
  } catch (error) {
    throw new ModelFolderError(`${file} cannot be read: ${(error as Error).message}`);
  }
  if (provider === 'cpu' && facts.cudaOnly.length > 0) {
    throw new ModelFolderError(
      `${file} was optimised for CUDA (it has ${facts.cudaOnly.join(', ')}), and this server runs on the CPU; use a GPU or the export before the optimisation`,
    );
  }
  return facts;
}

function perChannel(key: string, vae: Json, channels: number): readonly number[] | undefined {
  const values: readonly number[] | null | undefined = vae[key];
  if (!values || values.length === channels) return values ?? undefined;
  throw new ModelFolderError(`${key} of the VAE has ${values.length} entries; its latents have ${channels} channels`);
}

function precisionOf(graphs: readonly GraphFacts[]): Precision {
  const types = new Set(graphs.flatMap(({ weightTypes }) => [...weightTypes]));
  if (types.size > 1) return 'mixed';
  return types.has(dataTypes.float16) ? 'fp16' : 'fp32';
}

function defaultScheduler(config: SchedulerConfig): SchedulerName {
  try {
    return schedulerForClass(String(config._class_name), config);
  } catch (error) {
    if (!(error instanceof UnsupportedSchedulerError)) throw error;
    throw new ModelFolderError(
      `${error.message}; name another one in img2img.json: {"defaults": {"scheduler": "${fittingSchedulers(config)[0]}"}}`,
    );
  }
}
