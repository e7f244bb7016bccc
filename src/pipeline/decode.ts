// Generations that are done -> pictures.

import type { Pixels } from '../pixels.js';
import type { Generation } from './generation.js';
import type { Model } from './model.js';
import { restoreStarter } from './numbers/mask.js';
import { decodeLatents } from './vae.js';

/**
 * In their order.
 * @param generations of one shape: they share a call of the VAE's decoder
 */
export async function decode(model: Model, generations: readonly Generation[]): Promise<Pixels[]> {
  const start = performance.now();
  const latents = generations.map((generation) => generation.latents);
  const decoded = await decodeLatents(model, latents, generations[0]!.shape);
  const pictures = decoded.map((picture, i) => {
    const { pixels, mask } = generations[i]!.request;
    return mask ? restoreStarter(picture, pixels, mask) : picture;
  });
  for (const { timings } of generations) timings.vaeDecode = performance.now() - start;
  return pictures;
}
