// What a model folder is, as its users are told. Plain data, which every room shares.

export const kinds = [
  'sd',
  'sd-v',
  'sd-turbo',
  'sdxl',
  'sdxl-refiner',
  'sdxl-turbo',
  'lcm',
  'instruct-pix2pix',
  'sd3',
  'sd3-turbo',
] as const;
export type Kind = (typeof kinds)[number];

/**
 * How much of its schedule a request runs: the part that its strength leaves; every step, over the part of the training grid that
 * its strength leaves (latent consistency); or the whole, from noise alone, where strength has no meaning.
 */
export const scheduleKinds = ['part', 'consistency', 'whole'] as const;
export type ScheduleKind = (typeof scheduleKinds)[number];

/**
 * What guidance compares: the prompt's prediction with the negative prompt's; nothing, as the model takes it as an embedding; or
 * predictions with and without the prompt, and with and without the starter, for which there is an image guidance too.
 */
export const guidanceKinds = ['prompts', 'embedded', 'prompts_and_starter'] as const;
export type GuidanceKind = (typeof guidanceKinds)[number];

/** What requests mean to a model: whoever plans, computes or explains them has to agree on it. */
export interface RequestRules {
  readonly schedule: ScheduleKind;
  readonly guidance: GuidanceKind;
  /** Whether a part of the starter can be kept. */
  readonly masks: boolean;
}

/** What a request gets that does not say. */
export interface RequestDefaults {
  readonly steps: number;
  readonly guidance: number;
  /** 0..1; absent where the whole schedule runs. */
  readonly strength?: number;
  /** Of models whose guidance compares predictions without the starter. */
  readonly imageGuidance?: number;
}

export const precisions = ['fp32', 'fp16', 'mixed'] as const;
/** What graphs compute in; `mixed` where one and the same does so in both, or parts differ. */
export type Precision = (typeof precisions)[number];

/** What the graphs that the service writes can compute in. */
export const computingPrecisions = ['fp32', 'fp16'] as const;
export type ComputingPrecision = (typeof computingPrecisions)[number];

export const weightPrecisions = ['fp64', 'fp32', 'fp16', 'bf16', 'other'] as const;
export type WeightPrecision = (typeof weightPrecisions)[number];

export const partNames = [
  'text_encoder',
  'text_encoder_2',
  'text_encoder_3',
  'unet',
  'transformer',
  'vae_encoder',
  'vae_decoder',
  'tiny_decoder',
  'safety_checker',
] as const;
export const partFormats = ['onnx', 'safetensors'] as const;

/** One of the graphs of a model. */
export interface PartFacts {
  readonly part: (typeof partNames)[number];
  /** A graph that was exported, or weights that the service writes a graph over. */
  readonly format: (typeof partFormats)[number];
  /** As they are stored, the one that most of them have first. */
  readonly weights: readonly WeightPrecision[];
  readonly computes: Precision;
}

/** What is done with pictures that a model's safety checker flags: it is not asked, they are told, or they are kept back. */
export const safetyModes = ['off', 'flag', 'block'] as const;
export type SafetyMode = (typeof safetyModes)[number];

/** What onnxruntime brings beside its CPU and CUDA: any GPU, as far as it goes. Pictures are tested on a software adapter of `webgpu` only. */
export const experimentalProviders = ['webgpu', 'coreml', 'dml'] as const;
export type ExperimentalProvider = (typeof experimentalProviders)[number];

export const providers = ['cpu', 'cuda', ...experimentalProviders] as const;
/** onnxruntime's. */
export type Provider = (typeof providers)[number];

/** Output sizes that a model can make, in pixels. */
export interface SizeRange {
  readonly native: number;
  readonly multiple: number;
  readonly min: number;
  readonly max: number;
}

/** A textual inversion, by the name of its file; `reason` says why one cannot be used. */
export type EmbeddingInfo =
  | {
      readonly name: string;
      readonly runnable: true;
      /** How many tokens it takes the place of. */
      readonly vectors: number;
      /** Of its vectors, for each text encoder that it is for. */
      readonly widths: readonly number[];
    }
  | { readonly name: string; readonly runnable: false; readonly reason: string };

/** Names of embeddings in the prompts of a picture. */
export interface NamedEmbeddings {
  readonly used: readonly string[];
  /** Those that do not fit the model; they are words. */
  readonly unfit: readonly string[];
}

export const vocabularyGroups = ['styles', 'qualities', 'colours', 'other'] as const;
/** The words and phrases that a model knows by name; `other` has synonyms, and what fits nowhere else. */
export type Vocabulary = Readonly<Record<(typeof vocabularyGroups)[number], readonly string[]>>;

/** The models that a LoRA is for; `unknown` where its file does not tell. */
export const loraFamilies = ['sd1', 'sd2', 'sdxl', 'sdxl-refiner', 'unknown'] as const;
export type LoraFamily = (typeof loraFamilies)[number];
/** As sentences call them. */
export const loraFamilyNames: Readonly<Record<LoraFamily, string>> = {
  sd1: 'Stable Diffusion 1',
  sd2: 'Stable Diffusion 2',
  sdxl: 'Stable Diffusion XL',
  'sdxl-refiner': "Stable Diffusion XL's refiner",
  unknown: 'an unknown family',
};
