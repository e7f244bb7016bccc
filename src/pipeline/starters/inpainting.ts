// What an inpainting UNet gets beside the latents: the mask, and the starter without what is repainted.

import type { Model } from '../model.js';
import { inpaintingChannels, latentMask, type Mask } from '../numbers/mask.js';
import { encodeStarters, type Starter } from '../vae.js';

/**
 * The last draw of each generator before the steps'.
 * @param masks of the starters; without one everything is repainted
 * @returns of each, [1 + channels, height, width]
 */
export async function inpaintingInputs(
  model: Model,
  masks: readonly (Mask | undefined)[],
  starters: readonly Starter[],
): Promise<Float32Array[]> {
  const whole = starters.map(({ pixels }, i) => masks[i] ?? new Uint8Array(pixels.width * pixels.height).fill(255));
  const hidden = await encodeStarters(
    model,
    starters.map((starter, i) => ({ ...starter, hidden: whole[i]! })),
  );
  const { vaeScale } = model.folder;
  return starters.map(({ pixels }, i) => inpaintingChannels(latentMask(whole[i]!, pixels.width, vaeScale), hidden[i]!));
}
