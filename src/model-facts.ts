// What a model folder is, as its users are told. Plain data, which every room shares.

export const kinds = ['sd', 'sd-v', 'sd-turbo', 'sdxl', 'sdxl-refiner', 'sdxl-turbo', 'lcm'] as const;
export type Kind = (typeof kinds)[number];

export const precisions = ['fp32', 'fp16', 'mixed'] as const;
/** Of the weights. */
export type Precision = (typeof precisions)[number];

export const providers = ['cpu', 'cuda'] as const;
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
