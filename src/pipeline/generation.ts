// A request's state on the device, from its prepared latents to the picture.

import type { Img2ImgRequest, Timings } from '../img2img-request.js';
import type { NamedEmbeddings } from '../model-facts.js';
import type { Known } from './numbers/mask.js';
import type { TorchGenerator } from './numbers/noise.js';
import type { Scheduler } from './schedulers/schedule.js';
import type { Condition } from './unet.js';

export interface Generation {
  readonly request: Img2ImgRequest;
  readonly scheduler: Scheduler;
  /** Goes on where the first noise ended: for schedulers that add noise at each step. */
  readonly generator: TorchGenerator;
  readonly shape: readonly [channels: number, height: number, width: number];
  /** One for each row that it takes in a UNet call, in the order of `guidanceRows`. */
  readonly conditions: readonly Condition[];
  readonly droppedTokens: { readonly prompt: number; readonly negativePrompt: number };
  /** Tokens that reached a T5 and not CLIP. */
  readonly beyondClip: { readonly prompt: number; readonly negativePrompt: number };
  /** Textual inversions that its prompts name. */
  readonly embeddings: NamedEmbeddings;
  /** The VAE's encoder drew its sample by itself, so that the seed does not decide all of the picture. */
  readonly drawUnseeded: boolean;
  readonly timings: Timings;
  /** Of a masked request with an ordinary UNet. */
  readonly known: Known | undefined;
  latents: Float32Array; // [channels, height, width]
  /** Position in the scheduler's timesteps; done when it reaches their end. */
  index: number;
  unetCalls: number;
}

export function isDone(generation: Generation): boolean {
  return generation.index >= generation.scheduler.timesteps.length;
}

/** Rows that a generation takes in a UNet call. */
export function rowsOf(generation: Generation): number {
  return generation.conditions.length;
}
