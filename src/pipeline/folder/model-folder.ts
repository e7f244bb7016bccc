// What kind of model is this? Reads a folder in diffusers' layout (ONNX of any exporter, safetensors) or a checkpoint, without
// onnxruntime.
// Sources of the defaults: diffusers' model configs; exporters leave some keys out.

import { statSync } from 'node:fs';
import { basename } from 'node:path';
import type {
  ComputingPrecision,
  Kind,
  Precision,
  Provider,
  RequestDefaults,
  SafetyMode,
  SizeRange,
  Vocabulary,
} from '../../model-facts.js';
import { fileExtension, gguf, ggufRefusal } from '../checkpoint/file-names.js';
import { flatRefusal, isFlatGraphs } from '../checkpoint/flat-graphs.js';
import { isLonePart, lonePartRefusal } from '../checkpoint/lone-part.js';
import { FolderSource, type GraphSource, type ModelSource, type Part } from '../checkpoint/model-source.js';
import { isReadyOnnx, ReadyOnnxSource } from '../checkpoint/ready-onnx.js';
import { SingleFileSource } from '../checkpoint/single-file.js';
import { type TinyDecoder, tinyDecoder } from '../checkpoint/tiny-decoder.js';
import type { Family } from '../families/family.js';
import { familyOf, withDenoiser } from '../families/index.js';
import type { GraphFacts } from '../onnx/graph-facts.js';
import { pickleRefusal } from '../safetensors/files.js';
import { type SafetyChecker, safetyChecker } from '../safety/safety-checker.js';
import type { SchedulerName } from '../schedulers/index.js';
import type { SchedulerConfig } from '../schedulers/schedule.js';
import { type Component, components, textEncoders } from './components.js';
import { checkPrecision, computesBest, computingOf, together } from './computing.js';
import { type Json, number } from './configs.js';
import { type LatentScale, latentScale } from './latent-scale.js';
import { ModelFolderError } from './model-folder-error.js';
import { type DecidedPart, decided, loadedBytes, partOf } from './parts.js';
import { requestDefaults } from './request-defaults.js';
import { readSchedulerConfig } from './scheduler-config.js';
import { ModelIndex, PartConfig, type Settings, settingsSchema } from './schemas.js';
import { checkSignatures, type Exporter, exporterOf } from './signatures.js';
import { checkTextWidths, type TextEncoderFacts, textEncoderFacts } from './text-encoders.js';
import { besideLatents, contextWidth, guidanceWidth, halvings, latentChannels, sizeRange } from './unet-facts.js';

export interface ModelFolder {
  readonly name: string;
  readonly path: string;
  readonly title: string;
  readonly description: string;
  readonly license: string | null;
  readonly vocabulary: Vocabulary | undefined;
  readonly family: Family;
  readonly kind: Kind;
  readonly exporter: Exporter;
  /** Of all its parts together. */
  readonly precision: Precision;
  readonly parts: readonly DecidedPart[];
  /** Bytes that its weights take once they are loaded, and of these what the text encoders do. */
  readonly weightBytes: { readonly all: number; readonly textEncoders: number };
  /** The graphs, by component; a text encoder may be absent. */
  readonly graphs: Readonly<Partial<Record<Component, GraphSource>>>;
  /** What they are read from and point into: while a model is loaded, these files must stay as they are. */
  readonly files: readonly string[];
  /** Those that there are, in the order in which their embeddings are joined. */
  readonly textEncoders: readonly TextEncoderFacts[];
  /** The folder beside it that lends them, by its name. */
  readonly textEncodersOf: string | undefined;
  readonly schedulerConfig: SchedulerConfig;
  readonly defaults: RequestDefaults & { readonly scheduler: SchedulerName };
  /** 0..1, how far a guided prediction is brought back to the spread of the prompt's; 0 is off. */
  readonly guidanceRescale: number;
  /** Width of the guidance's embedding, where the UNet takes one. */
  readonly guidanceWidth: number | undefined;
  /** Of the embeddings of a prompt's tokens, where the graph or its config tells. */
  readonly contextWidth: number | undefined;
  readonly size: SizeRange;
  /** Of the latents that the UNet predicts. */
  readonly latentChannels: number;
  /** The UNet also takes a mask and the latents of the masked starter. */
  readonly inpaints: boolean;
  /** Of the latents that the VAE's encoder gives. */
  readonly vaeChannels: number;
  /** The distribution's parameters, a draw that the graph made, or latents without any draw. */
  readonly encoderGives: 'latent_parameters' | 'latent_sample' | 'latents';
  /** What the tiny decoder takes the UNet's latents divided by; it decodes where there is no other decoder. */
  readonly tinyScale: number;
  /** Pixels per latent, along one side. */
  readonly vaeScale: number;
  readonly latentScale: LatentScale;
  /** An empty negative prompt is zeros instead of the encoded empty text. */
  readonly zerosForEmptyPrompt: boolean;
  /** Refiners take an aesthetic score instead of the target size. */
  readonly wantsAestheticScore: boolean;
  /** Whether there is one; it is read where pictures are to be checked. */
  readonly hasSafetyChecker: boolean;
  readonly safetyChecker: SafetyChecker | undefined;
}

/** Groups that are left out are empty. */
const noWords: Vocabulary = { styles: [], qualities: [], colours: [], other: [] };

export interface ReadingOptions {
  /** What graphs that are ours compute in where nothing else is said. */
  readonly best?: ComputingPrecision;
  /** Whether a tiny autoencoder beside it counts. */
  readonly withTiny?: boolean;
  /** What a safety checker is for; `off` if absent. */
  readonly safety?: SafetyMode;
}

/**
 * @param path of a folder, or of a file that is a whole model
 * @param provider that is to run it: some graphs run on CUDA only
 * @throws ModelFolderError when something is missing or not supported
 */
export function readModelFolder(
  path: string,
  provider: Provider,
  source = openSource(path),
  { best = computesBest[provider], withTiny = true, safety = 'off' }: ReadingOptions = {},
): ModelFolder {
  const index = source.json('model_index.json', ModelIndex);
  const ofClass = familyOf(String(index._class_name ?? 'unknown'));
  const encoders = ofClass.textEncoders((component) => source.has(component));
  const { denoiser } = ofClass;
  const config = source.json(`${denoiser}/config.json`, PartConfig, {});
  const vae: Json = Object.assign(
    {},
    ...['vae', 'vae_encoder', 'vae_decoder'].map((part) => source.json(`${part}/config.json`, PartConfig, {})),
  );
  const settings: Settings = source.json('img2img.json', settingsSchema(source.json('img2img.json', {}, {})), {});
  const schedulerConfig = readSchedulerConfig(source);

  const tinyPath = withTiny ? (settings.tiny_vae?.path ?? source.tinyVae) : undefined;
  const decodesTiny = withTiny && settings.tiny_vae?.decode === true;
  if (withTiny && settings.tiny_vae && tinyPath === undefined) {
    throw new ModelFolderError(
      'img2img.json has tiny_vae, and neither its path nor a folder vae_tiny says where one is',
    );
  }
  const hasSafetyChecker = source.has('safety_checker');
  if (safety === 'block' && !hasSafetyChecker) {
    throw new ModelFolderError('it has no safety checker, and SAFETY_CHECKER is block');
  }
  const absent: readonly (readonly [Component, boolean])[] = [
    ...textEncoders.map((component) => [component, !encoders.includes(component)] as const),
    ['unet', denoiser !== 'unet'],
    ['transformer', denoiser !== 'transformer'],
    ['vae_decoder', decodesTiny],
    ['tiny_decoder', tinyPath === undefined],
    ['safety_checker', safety === 'off' || !hasSafetyChecker],
  ];
  const present = components.filter((component) => !absent.some(([one, is]) => is && one === component));
  const computing = new Map(
    present.map((component) => [component, computingOf(component, { settings, family: ofClass, vae, best })]),
  );
  const tiny =
    tinyPath === undefined ? undefined : tinyDecoder(source.root, tinyPath, computing.get('tiny_decoder')!.value);
  const parts = new Map(
    present.map((component): [Component, Part] => [
      component,
      component === 'tiny_decoder' ? tiny!.part : partOf(source, component, provider, computing.get(component)!.value),
    ]),
  );
  checkPrecision(settings, parts);
  const decidedParts = present.map((component) => decided(component, parts.get(component)!, computing.get(component)!));
  const graphs: ModelFolder['graphs'] = Object.fromEntries(
    [...parts].map(([component, { graph }]) => [component, graph]),
  );
  const bytesOf = (some: readonly Component[]) =>
    some.reduce((sum, component) => sum + loadedBytes(parts.get(component)!, provider), 0);
  const facts = Object.fromEntries([...parts].map(([component, part]) => [component, part.facts])) as Record<
    Component,
    GraphFacts
  >;
  checkSignatures(facts, ofClass.latents);
  if (ofClass.t5) checkTextWidths(encoders, facts, ofClass);

  const denoising = facts[denoiser];
  const beside = besideLatents(denoising, config, ofClass.latents);
  const family = withDenoiser(ofClass, {
    guidanceEmbedded: denoising.inputs.has('timestep_cond'),
    takesGuidance: denoising.inputs.has('guidance'),
    seesStarter: beside === 'starter',
  });
  const turbo = settings.turbo ?? /turbo/i.test(`${source.name} ${index._name_or_path ?? ''}`);
  const checker = parts.get('safety_checker');
  const velocity = schedulerConfig.prediction_type === 'v_prediction';
  const refiner = !encoders.includes('text_encoder');
  const takesGuidance = family.rules.guidance === 'distilled';
  const kind = family.kind({ turbo: turbo === true, refiner, velocity, takesGuidance });

  const vaeScale = 2 ** halvings(vae, facts.vae_encoder);
  const vaeChannels = number(vae.latent_channels) ?? latentChannels(denoising, config, family.latents);
  if (tiny) checkTiny(tinyPath!, tiny, vaeChannels, vaeScale);
  const ownSchedule = family.schedulerConfig(schedulerConfig, vaeScale);
  const defaults = requestDefaults(settings, family, kind, ownSchedule);
  return {
    name: source.name,
    path,
    title: settings.title ?? source.name,
    description: settings.description ?? '',
    license: settings.license ?? null,
    vocabulary: settings.vocabulary && { ...noWords, ...settings.vocabulary },
    family,
    kind,
    exporter: typeof graphs[denoiser] === 'string' ? exporterOf(denoising, facts.vae_encoder) : 'img2img',
    precision: together(decidedParts.map(({ computes }) => computes)),
    parts: decidedParts,
    weightBytes: { all: bytesOf(present), textEncoders: bytesOf(encoders) },
    graphs,
    files: [...new Set(Object.values(facts).flatMap(({ files }) => files))],
    textEncoders: encoders.map((component) =>
      textEncoderFacts(source, component, facts[component], family, settings.clip_skip ?? 0),
    ),
    textEncodersOf: source.textEncodersOf,
    schedulerConfig: ownSchedule,
    defaults,
    guidanceRescale: settings.guidance_rescale ?? 0,
    guidanceWidth: guidanceWidth(denoising, config),
    contextWidth: contextWidth(denoising, config),
    size: sizeRange(settings.size ?? {}, denoising, config, vaeScale, family),
    latentChannels: latentChannels(denoising, config, family.latents),
    inpaints: beside === 'masked starter',
    vaeChannels,
    encoderGives:
      encoderOutputs.find((name) => facts.vae_encoder.outputs.has(name)) ??
      (facts.vae_encoder.draws ? 'latent_sample' : 'latents'),
    tinyScale: tiny?.scalingFactor ?? 1,
    vaeScale,
    latentScale: latentScale(family, vae, vaeChannels),
    zerosForEmptyPrompt: family.zerosForEmptyPrompt && index.force_zeros_for_empty_prompt !== false,
    wantsAestheticScore: index.requires_aesthetics_score === true,
    hasSafetyChecker,
    safetyChecker: checker && safetyChecker(source, checker),
  };
}

const encoderOutputs = ['latent_parameters', 'latents'] as const;

/** @throws ModelFolderError for what is neither a folder nor a model of one file */
export function openSource(path: string): ModelSource {
  if (statSync(path).isDirectory()) {
    if (isReadyOnnx(path)) return new ReadyOnnxSource(path);
    if (isFlatGraphs(path)) throw new ModelFolderError(flatRefusal(path));
    if (isLonePart(path)) throw new ModelFolderError(lonePartRefusal(path));
    return new FolderSource(path);
  }
  if (path.endsWith(fileExtension)) return new SingleFileSource(path);
  throw new ModelFolderError(`${basename(path)} ${gguf.test(path) ? ggufRefusal : pickleRefusal}`);
}

function checkTiny(path: string, { channels, doublings }: TinyDecoder, ofModel: number, vaeScale: number): void {
  if (channels !== ofModel)
    throw new ModelFolderError(`${path} takes latents of ${channels} channels, and the model's have ${ofModel}`);
  if (2 ** doublings !== vaeScale) {
    throw new ModelFolderError(
      `${path} makes ${2 ** doublings} pixels of a latent's side, and the model's VAE makes ${vaeScale}`,
    );
  }
}
