// What the pipeline makes a picture from, and how long the parts of that took. Plain data, which every room shares.

import type { SchedulerName } from './pipeline/schedulers/index.js';
import type { Pixels } from './pixels.js';
import type { PromptSyntax } from './prompt-syntax.js';

export interface Img2ImgRequest {
  /** The starter in the size of the output: both sides multiples of the model's. */
  readonly pixels: Pixels;
  /** One byte per pixel, 255 where it is repainted, in the size of the starter; without one everything is repainted. */
  readonly mask?: Uint8Array | undefined;
  /** What changes the model's weights, in the order in which it is added; none if absent. */
  readonly loras?: readonly LoraUse[] | undefined;
  readonly prompt: string;
  readonly negativePrompt: string;
  /** How both prompts are read; plain if absent. */
  readonly promptSyntax?: PromptSyntax;
  /** Prompts beyond the text encoder's limit go on in further chunks, instead of being cut. */
  readonly longPrompts?: boolean;
  /** 0..1, the share of the schedule that is run; without effect where a model runs the whole. */
  readonly strength: number;
  readonly guidanceScale: number;
  /** How far the starter pulls; of models that take one (RequestRules). */
  readonly imageGuidance?: number | undefined;
  /** How far the prompts pull apart, of models whose guidance is an input (RequestRules); 1 if absent. */
  readonly trueGuidance?: number | undefined;
  readonly steps: number;
  readonly scheduler: SchedulerName;
  /** 0..2^32-1 */
  readonly seed: number;
}

export interface LoraUse {
  readonly name: string;
  /** sha256 of its file: what is used is what was planned with. */
  readonly digest: string;
  /** -10..10, never 0 */
  readonly scale: number;
}

/** Milliseconds per stage. */
export interface Timings {
  textEncode: number;
  vaeEncode: number;
  denoise: number;
  vaeDecode: number;
  safetyCheck: number;
}
