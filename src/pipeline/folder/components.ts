import { partNames } from '../../model-facts.js';

/** The parts of a model that hold a graph: by the names of their folders, but for the decoder of a tiny autoencoder. */
export const components = partNames;
export type Component = (typeof components)[number];
