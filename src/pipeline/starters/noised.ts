// The starter as the place where the schedule begins: its latents with noise, and what a mask makes of them.
// Source: diffusers, pipeline_stable_diffusion_img2img.py and pipeline_stable_diffusion_inpaint.py; the order of random draws (VAE,
// noise, masked starter, noise of each step) is part of it. Where we differ: a strength that rounds to no step takes the VAE
// round trip.

import type { Img2ImgRequest } from '../../img2img-request.js';
import type { Pixels } from '../../pixels.js';
import type { Model } from '../model.js';
import { latentMask, pureNoise } from '../numbers/mask.js';
import type { Schedule } from '../schedulers/index.js';
import type { SchedulerConfig } from '../schedulers/schedule.js';
import { drawIsSeeded, encodeStarters } from '../vae.js';
import type { Begin, Beginning, Started } from './begin.js';
import { inpaintingInputs } from './inpainting.js';

export const noised: Begin = async (model, started) => {
  const { folder } = model;
  const starters = started.map(({ request, schedule, generator }) => ({
    pixels: request.pixels,
    generator: schedule.stepsRun === 0 ? undefined : generator,
  }));
  const seen = starters.filter((_, i) => !beginsWithNoise(model, started[i]!.request));
  const encoded = seen.length > 0 ? await encodeStarters(model, seen) : [];
  const latents = starters.map((starter) => encoded[seen.indexOf(starter)]);
  const noises = starters.map(({ pixels, generator }) => generator?.randn(latentCount(model, pixels)));
  for (const [i, { pixels, generator }] of starters.entries()) {
    // diffusers encodes the masked starter for an ordinary UNet too, and does nothing with it but draw.
    if (started[i]!.request.mask && !folder.inpaints && drawIsSeeded(model)) {
      generator?.randn(latentCount(model, pixels));
    }
  }
  const masks = started.map(({ request }) => request.mask);
  const inpainting = folder.inpaints ? await inpaintingInputs(model, masks, starters) : [];
  return started.map((one, i) => ({
    ...beginningAt(model, one, latents[i], noises[i]),
    beside: inpainting[i] && (() => inpainting[i]!),
  }));
};

/**
 * Where a request's schedule begins, and what a mask keeps.
 * @param init the starter's latents; absent for noise alone
 * @param noise absent where no step runs
 */
export function beginningAt(
  { folder }: Model,
  { request: { mask, pixels }, schedule }: Started,
  init: Float32Array | undefined,
  noise: Float32Array | undefined,
): Pick<Beginning, 'latents' | 'known'> {
  const isKept = mask && init && noise && !folder.inpaints;
  return {
    latents: startOf(init, noise, schedule, folder.schedulerConfig),
    known: isKept ? { weights: latentMask(mask, pixels.width, folder.vaeScale), init, noise } : undefined,
  };
}

/** As diffusers' inpainting begins at strength 1: nothing of the starter but what the UNet is told beside the latents. */
function beginsWithNoise({ folder }: Model, { mask, strength }: Img2ImgRequest): boolean {
  return folder.inpaints && mask !== undefined && strength === 1;
}

/** Numbers in the latents of a picture. */
function latentCount({ folder }: Model, { width, height }: Pixels): number {
  return folder.vaeChannels * (width / folder.vaeScale) * (height / folder.vaeScale);
}

/** @param init absent for noise alone; @param noise absent where no step runs */
function startOf(
  init: Float32Array | undefined,
  noise: Float32Array | undefined,
  { scheduler, begin }: Schedule,
  config: SchedulerConfig,
): Float32Array {
  if (!noise) return init!;
  return init ? scheduler.addNoise(init, noise, begin) : pureNoise(noise, scheduler, config);
}
