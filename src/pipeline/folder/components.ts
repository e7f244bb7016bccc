import { partNames } from '../../model-facts.js';

/** The parts of a model that hold a graph: by the names of their folders, but for the decoder of a tiny autoencoder. */
export const components = partNames;
export type Component = (typeof components)[number];

export const textEncoders = [
  'text_encoder',
  'text_encoder_2',
  'text_encoder_3',
] as const satisfies readonly Component[];
export type TextEncoder = (typeof textEncoders)[number];

/** The folder of each one's tokenizer. */
export const tokenizers = {
  text_encoder: 'tokenizer',
  text_encoder_2: 'tokenizer_2',
  text_encoder_3: 'tokenizer_3',
} as const satisfies Record<TextEncoder, string>;
export type TokenizerName = (typeof tokenizers)[TextEncoder];
