import { partNames } from '../../model-facts.js';

/** The parts of a model folder that hold a graph, by the names of their folders. */
export const components = partNames;
export type Component = (typeof components)[number];
