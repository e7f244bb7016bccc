// What lies between the VAE's latents and the denoiser's.

import type { Family } from '../families/family.js';
import { type Json, number } from './configs.js';
import { ModelFolderError } from './model-folder-error.js';

/** latents = (VAE's - mean) / std * factor */
export interface LatentScale {
  readonly factor: number;
  /** Per channel; absent for 0. */
  readonly mean: readonly number[] | undefined;
  /** Per channel; absent for 1. */
  readonly std: readonly number[] | undefined;
}

/** @param vae config.json of the VAE @param channels of its latents @throws ModelFolderError for another number of entries */
export function latentScale(family: Family, vae: Json, channels: number): LatentScale {
  return {
    factor: number(vae.scaling_factor) ?? family.scalingFactor,
    mean: shiftOf(family, vae, channels) ?? perChannel('latents_mean', vae, channels),
    std: perChannel('latents_std', vae, channels),
  };
}

/** Where the family takes one number off all channels. */
function shiftOf({ shiftFactor }: Family, vae: Json, channels: number): readonly number[] | undefined {
  return shiftFactor === undefined ? undefined : Array(channels).fill(number(vae.shift_factor) ?? shiftFactor);
}

function perChannel(key: string, vae: Json, channels: number): readonly number[] | undefined {
  const values: readonly number[] | null | undefined = vae[key];
  if (!values || values.length === channels) return values ?? undefined;
  throw new ModelFolderError(`${key} of the VAE has ${values.length} entries; its latents have ${channels} channels`);
}
