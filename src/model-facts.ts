// What a model folder is, as its users are told. Plain data, which every room shares.

/**
 * How much of its schedule a request runs: the part that its strength leaves; every step, over the part of the training grid that
 * its strength leaves (latent consistency); or the whole, from noise alone, where strength has no meaning.
 */
export const scheduleKinds = ['part', 'consistency', 'whole'] as const;
export type ScheduleKind = (typeof scheduleKinds)[number];

/**
 * What guidance compares: the prompt's prediction with the negative prompt's; nothing, as the model takes it as an embedding; or
 * predictions with and without the prompt, and with and without the starter, for which there is an image guidance too. Of models
 * that were distilled from guided ones it is an input, or has no effect; predictions are compared by a true guidance then.
 */
export const guidanceKinds = ['prompts', 'embedded', 'prompts_and_starter', 'distilled', 'true_only'] as const;
export type GuidanceKind = (typeof guidanceKinds)[number];

/** Whether a true guidance compares the predictions of both prompts, beside a guidance that compares nothing. */
export const takesTrueGuidance = ({ guidance }: Pick<RequestRules, 'guidance'>): boolean =>
  guidance === 'distilled' || guidance === 'true_only';

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

/** Of all that are not distilled to fewer steps. */
export const usualStrength = 0.75;
const usual = { steps: 25, strength: usualStrength } as const;
const distilled = { steps: 4, strength: usualStrength } as const;

/** Every kind, with what its requests get that do not say: diffusers' own guidance, a length of schedule that suits. */
export const kindDefaults = {
  sd: { ...usual, guidance: 7.5 },
  'sd-v': { ...usual, guidance: 7.5 },
  'sd-turbo': { ...distilled, guidance: 1 },
  sdxl: { ...usual, guidance: 5 },
  'sdxl-refiner': { ...usual, guidance: 5 },
  'sdxl-turbo': { ...distilled, guidance: 1 },
  lcm: { ...distilled, guidance: 8.5 },
  'instruct-pix2pix': { steps: 25, guidance: 7.5, imageGuidance: 1.5 },
  sd3: { steps: 28, guidance: 7, strength: 0.6 },
  'sd3-turbo': { steps: 4, guidance: 1, strength: 0.6 },
  flux: { steps: 28, guidance: 7, strength: 0.6 },
  'flux-schnell': { steps: 4, guidance: 0, strength: 0.6 },
  'flux-kontext': { steps: 28, guidance: 3.5, strength: 1 },
} as const satisfies Record<string, RequestDefaults>;
export type Kind = keyof typeof kindDefaults;
export const kinds = Object.keys(kindDefaults) as readonly Kind[];

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

/** Pixels of a side, of a model's native pictures and of any that it makes. */
export const maxSide = { native: 4096, any: 8192 } as const;

/** Output sizes that a model can make: a range and a step, in pixels. */
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

/** The models that a LoRA is for: `other` have a UNet of their own; `unknown` where its file does not tell. */
export const loraFamilies = ['sd1', 'sd2', 'sdxl', 'sdxl-refiner', 'other', 'unknown'] as const;
export type LoraFamily = (typeof loraFamilies)[number];
/** As sentences call them. */
export const loraFamilyNames: Readonly<Record<LoraFamily, string>> = {
  sd1: 'Stable Diffusion 1',
  sd2: 'Stable Diffusion 2',
  sdxl: 'Stable Diffusion XL',
  'sdxl-refiner': "Stable Diffusion XL's refiner",
  other: 'another architecture',
  unknown: 'an unknown family',
};
