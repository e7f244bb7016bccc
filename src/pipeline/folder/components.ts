/** The parts of a model folder that hold a graph, by the names of their folders. */
export const components = ['text_encoder', 'text_encoder_2', 'unet', 'vae_encoder', 'vae_decoder'] as const;
export type Component = (typeof components)[number];
