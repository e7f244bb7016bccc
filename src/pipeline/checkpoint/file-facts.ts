// What is known of a model without configs, and what decided it, for whatever works its configs out.

import type { Json } from '../folder/configs.js';
import { type Decided, firstOf } from './decided.js';
import type { Tensors } from './written-part.js';

export type FileFamily = 'sd1' | 'sd2' | 'sdxl' | 'sdxl-refiner' | 'sd3' | 'flux';

export interface FileFacts {
  readonly family: FileFamily;
  /** The UNet sees a starter beside the latents, for inpainting or for edits: it was tuned from a model that predicts noise. */
  readonly seesStarter: 'masked' | 'whole' | undefined;
  readonly turbo: Decided<boolean>;
  readonly latentConsistency: boolean;
  /** A Flux that edits: nothing in it tells, but its name. */
  readonly kontext: Decided<boolean>;
  readonly tensors: Tensors;
  readonly metadata: ReadonlyMap<string, string>;
  /** NAME.img2img.json, checked */
  readonly settings: Json;
  readonly settingsFile: string;
}

/** @param channels of the UNet */
export function starterSeen({
  in: input,
  out,
}: {
  readonly in: number;
  readonly out: number;
}): FileFacts['seesStarter'] {
  return input === 2 * out + 1 ? 'masked' : input === 2 * out ? 'whole' : undefined;
}

export const defaultOf = ({ family }: Pick<FileFacts, 'family'>) => `the default of ${family}`;

/** @param stem the file's name without its end */
export function kontext(stem: string, { family, metadata }: Pick<FileFacts, 'family' | 'metadata'>): Decided<boolean> {
  const says = (text: string) => (family === 'flux' && /kontext/i.test(text)) || undefined;
  return firstOf<boolean>(
    [says(stem), "the file's name"],
    [says(metadata.get('modelspec.title') ?? ''), 'metadata modelspec.title'],
    [false, defaultOf({ family })],
  );
}

/** @param stem the file's name without its end */
export function turbo(
  stem: string,
  { family, metadata, settings, settingsFile }: Pick<FileFacts, 'family' | 'metadata' | 'settings' | 'settingsFile'>,
): Decided<boolean> {
  const says = (text: string) => /turbo/i.test(text) || undefined;
  return firstOf<boolean>(
    [settings.turbo, settingsFile],
    [says(stem), "the file's name"],
    [says(metadata.get('modelspec.title') ?? ''), 'metadata modelspec.title'],
    [false, defaultOf({ family })],
  );
}

/** A config that is worked out. */
export interface Composed {
  readonly json: Json;
  /** Key -> what decided it. */
  readonly origins: Readonly<Record<string, string>>;
}
