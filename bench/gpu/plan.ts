// What is asked in which order, the most important first, and when each part has to be done. Children do the work: what kills one
// leaves the others.

import type { Provider } from '../../src/model-facts.js';
import type { Shapes } from '../checkpoints/parts.js';
import { type CheckpointFamily, checkpointShapes, tinyShapes } from '../checkpoints/shapes.js';

export const questions = {
  loads: 'does the provider load, and how long does a model take',
  step_time: 'time of a UNet call by its rows; the first call of each shape beside the later ones',
  picture_parts: 'time of encoding and decoding a picture',
  drift: 'how far pictures made together differ from the same made alone',
  row_budget: 'the rows that the service finds worthwhile',
  overhead: 'what a request takes beside its model runs',
  load: 'a crowd of mixed strengths: batched, and one at a time',
  memory: "the service's figures of memory beside nvidia-smi's",
  killed_worker: 'what a killed worker costs',
  exported_graph: 'our graph beside an exported one of the same weights',
} as const;
export type Question = keyof typeof questions;

export interface Shape {
  /** Name of the model. */
  readonly name: string;
  readonly shapes: Shapes;
  /** Of the pictures, in this order. */
  readonly sides: readonly number[];
  readonly rows: readonly number[];
}

function shape(family: CheckpointFamily, name: string, sides: readonly number[]): Shape {
  return { name, shapes: checkpointShapes[family], sides, rows: [1, 2, 4, 8, 16, 32] };
}

export const shapes = {
  sd15: shape('Stable Diffusion 1.5', 'sd15', [512, 1024]),
  sdxl: shape('Stable Diffusion XL', 'sdxl', [1024, 512]),
  tiny: { name: 'tiny', shapes: tinyShapes, sides: [128, 256], rows: [1, 2, 4] },
} as const satisfies Readonly<Record<string, Shape>>;
export type ShapeName = keyof typeof shapes;

export interface Part {
  readonly script: 'direct' | 'service';
  readonly shape: ShapeName;
  readonly asks: readonly Question[];
  /** When it has to be done, as a share of the whole time. */
  readonly until: number;
}

const direct = ['loads', 'step_time', 'picture_parts', 'drift'] as const satisfies readonly Question[];
const service = ['row_budget', 'overhead', 'load', 'memory', 'killed_worker'] as const satisfies readonly Question[];

/** @param first `sd15` on a GPU, `tiny` in a rehearsal */
export function planOf(first: 'sd15' | 'tiny'): readonly Part[] {
  return [
    { script: 'direct', shape: first, asks: direct, until: 0.35 },
    { script: 'service', shape: first, asks: service, until: 0.7 },
    { script: 'direct', shape: first === 'tiny' ? 'tiny' : 'sdxl', asks: direct, until: 0.97 },
  ];
}

/** What a child is told. */
export interface Task {
  readonly shape: ShapeName;
  readonly provider: Provider;
  /** The folder that holds the model's file alone. */
  readonly models: string;
  readonly cache: string;
  readonly out: string;
  /** ms since the epoch. */
  readonly since: number;
  readonly until: number;
}
