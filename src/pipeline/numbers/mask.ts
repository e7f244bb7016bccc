// Masked img2img: what is not repainted stays the starter.
// Source: diffusers, pipeline_stable_diffusion_inpaint.py: with an ordinary UNet the latents outside of the mask are put back
// after every step, noised to where the next one begins; an inpainting UNet is told the mask and the masked starter instead.
// Where we differ: a mask may be grey (soft edges); a latent takes the whitest of its pixels, where diffusers takes one of them,
// so that thin lines are kept; the answer's pixels outside of the mask are the starter's own; and with an ordinary UNet the
// starter stays under the noise at strength 1 too.

import type { Pixels } from '../../pixels.js';
import type { Scheduler, SchedulerConfig } from '../schedulers/schedule.js';

/** One byte per pixel, row by row: 255 is repainted, 0 is kept, what lies between is mixed. */
export type Mask = Uint8Array;

/** What a masked request keeps of its starter, in latents. */
export interface Known {
  /** Share of each latent that is repainted, 0..1. */
  readonly weights: Float32Array; // [height, width]
  readonly init: Float32Array; // [channels, height, width]
  readonly noise: Float32Array; // [channels, height, width]
}

/**
 * The mask in the size of the latents: the maximum over the pixels of each.
 * @param width of the mask in pixels
 * @param scale pixels per latent along one side
 */
export function latentMask(mask: Mask, width: number, scale: number): Float32Array {
  const columns = width / scale;
  const weights = new Float32Array(mask.length / scale ** 2);
  for (let i = 0; i < mask.length; i++) {
    const x = Math.floor((i % width) / scale);
    const y = Math.floor(Math.floor(i / width) / scale);
    const cell = y * columns + x;
    weights[cell] = Math.max(weights[cell]!, mask[i]! / 255);
  }
  return weights;
}

/**
 * Noise as large as a scheduler wants it where nothing but noise begins (diffusers' init_noise_sigma): schedulers that scale
 * the model's input measure noise over signal, the others keep latents at unit variance.
 */
export function pureNoise(noise: Float32Array, scheduler: Scheduler, config: SchedulerConfig): Float32Array {
  const scale = scheduler.scaleModelInput(Float32Array.of(1), 0)[0]!;
  if (scale === 1) return noise;
  const [sigma] = scheduler.addNoise(new Float32Array(1), Float32Array.of(1), 0);
  const leading = config.timestep_spacing === 'leading';
  const size = leading ? Math.sqrt(sigma! ** 2 + 1) : sigma!;
  return noise.map((x) => x * size);
}

/** Puts the known part back into latents that stand at `timesteps[index]`; at their end, without noise. */
export function keepKnown(
  latents: Float32Array,
  { weights, init, noise }: Known,
  scheduler: Scheduler,
  index: number,
): Float32Array {
  const known = index < scheduler.timesteps.length ? scheduler.addNoise(init, noise, index) : init;
  return latents.map((value, i) => {
    const weight = weights[i % weights.length]!;
    return weight * value + (1 - weight) * known[i]!;
  });
}

/** The picture where the mask is white, the starter where it is black, byte for byte. */
export function restoreStarter({ data, width, height }: Pixels, starter: Pixels, mask: Mask): Pixels {
  const mixed = data.map((value, i) => {
    const weight = mask[Math.floor(i / 3)]! / 255;
    return Math.round(weight * value + (1 - weight) * starter.data[i]!);
  });
  return { data: mixed, width, height };
}

/** The starter with mid-grey, which is 0 in the VAE's input, where the mask is at least half white: what an inpainting UNet sees. */
export function maskedSample(sample: Float32Array, mask: Mask): Float32Array {
  return sample.map((value, i) => (mask[i % mask.length]! < 127.5 ? value : 0));
}

/**
 * What an inpainting UNet gets beside the latents: the mask, 0 or 1, and the latents of the masked starter.
 * @param maskedLatents [channels, height, width]
 * @returns [1 + channels, height, width]
 */
export function inpaintingChannels(weights: Float32Array, maskedLatents: Float32Array): Float32Array {
  const channels = new Float32Array(weights.length + maskedLatents.length);
  channels.set(weights.map((weight) => (weight < 0.5 ? 0 : 1)));
  channels.set(maskedLatents, weights.length);
  return channels;
}
