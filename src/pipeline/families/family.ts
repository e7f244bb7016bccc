// What a family of diffusers' pipelines must say, so that its folders are read and its requests run. Data and pure functions: how
// it is done stands with whoever does it, by the words that a family says (starters, numbers/guide, schedulers).

import type { Kind, RequestRules } from '../../model-facts.js';
import type { ChooseTextOutputs, TextEncoder } from '../folder/text-encoders.js';
import type { SchedulerConfig } from '../schedulers/schedule.js';

export interface Family {
  /** Names of the pipelines' classes, without an exporter's prefix. */
  readonly classes: RegExp;
  /** Of the UNet, whose LoRAs it takes. */
  readonly architecture: 'sd' | 'sdxl';
  /** What becomes of a starter: the place where the schedule begins, or what the UNet gets beside the latents. */
  readonly starter: 'noised' | 'beside';
  /** What requests mean to it. */
  readonly rules: RequestRules;
  kind(facts: KindFacts): Kind;

  /** Those that a folder must have, in the order in which their embeddings are joined. @param has whether one lies there */
  textEncoders(has: (component: TextEncoder) => boolean): readonly TextEncoder[];
  readonly textOutputs: ChooseTextOutputs;
  /** An empty negative prompt is zeros instead of the encoded empty text, where the folder does not say otherwise. */
  readonly zerosForEmptyPrompt: boolean;

  /** Of the latents, where the VAE's config names none, as older exports do. */
  readonly scalingFactor: number;
  /** Side of the native latents, where the UNet's config names none. */
  readonly sampleSize: number;
  /** Its pipelines compute the VAE in float32 where the VAE's config asks for it (`force_upcast`). */
  readonly upcastsVae: boolean;
  /** scheduler_config.json as its pipelines read it. */
  schedulerConfig(config: SchedulerConfig): SchedulerConfig;
}

/** What tells the kinds of a family apart. */
export interface KindFacts {
  readonly turbo: boolean;
  /** Only the second text encoder lies there. */
  readonly refiner: boolean;
  readonly velocity: boolean;
}
