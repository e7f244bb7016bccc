// What a family of diffusers' pipelines must say, so that its folders are read and its requests run. Data and pure functions: how
// it is done stands with whoever does it, by the words that a family says (starters, numbers/guide, schedulers).

import type { Kind, RequestRules } from '../../model-facts.js';
import type { TextEncoder } from '../folder/components.js';
import type { TextRules } from '../folder/text-encoders.js';
import type { SchedulerConfig } from '../schedulers/schedule.js';

export interface Family extends TextRules {
  /** Names of the pipelines' classes, without an exporter's prefix and without `Pipeline` at their end. */
  readonly classes: readonly string[];
  /** Of the UNet, whose LoRAs it takes; those of transformers take none. */
  readonly architecture: 'sd' | 'sdxl' | 'sd3' | 'flux';
  /** The part that runs at each step. */
  readonly denoiser: 'unet' | 'transformer';
  /** How it takes latents: as a picture, or packed as a sequence of tokens. */
  readonly latents: 'picture' | 'tokens';
  /** What becomes of a starter: the place where the schedule begins, what the denoiser gets beside the latents, or both. */
  readonly starter: 'noised' | 'beside' | 'context';
  /** What requests mean to it. */
  readonly rules: RequestRules;
  kind(facts: KindFacts): Kind;

  /** Those that a folder must have, in the order in which their embeddings are joined. @param has whether one lies there */
  textEncoders(has: (component: TextEncoder) => boolean): readonly TextEncoder[];
  /** How their embeddings become one: token by token beside each other, CLIP's so and then the tokens of T5, or those alone. */
  readonly textJoin: 'beside' | 'clip_then_t5' | 't5';
  /** An empty negative prompt is zeros instead of the encoded empty text, where the folder does not say otherwise. */
  readonly zerosForEmptyPrompt: boolean;

  /** Of the latents, where the VAE's config names none, as older exports do. */
  readonly scalingFactor: number;
  /** The same of what is taken off them before; absent where its pipelines take nothing off. */
  readonly shiftFactor?: number;
  /** Side of the native latents, where the denoiser's config names none. */
  readonly sampleSize: number;
  /** Its pipelines compute the VAE in float32 where the VAE's config asks for it (`force_upcast`). */
  readonly upcastsVae: boolean;
  /** scheduler_config.json as its pipelines read it. @param vaeScale pixels per latent, along one side */
  schedulerConfig(config: SchedulerConfig, vaeScale: number): SchedulerConfig;
}

/** What tells the kinds of a family apart. */
export interface KindFacts {
  /** The guidance is an input of the model. */
  readonly takesGuidance: boolean;
  readonly turbo: boolean;
  /** Only the second text encoder lies there. */
  readonly refiner: boolean;
  readonly velocity: boolean;
}
