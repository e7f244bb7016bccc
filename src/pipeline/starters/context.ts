// The starter as context: the transformer sees it beside the latents at every step, and the latents begin as noise alone, or where less
// of the schedule runs as the starter under noise. Source: diffusers, pipeline_flux_kontext.py, and of a strength below 1 and of masks
// pipeline_flux_kontext_inpaint.py. The starter is the mode of the encoder's, so that the noise is the only draw before the steps'.

import { encodeStarters } from '../vae.js';
import type { Begin } from './begin.js';
import { beginningAt } from './noised.js';

export const context: Begin = async (model, started) => {
  const starters = started.map(({ request: { pixels } }) => ({ pixels, generator: undefined }));
  const seen = await encodeStarters(model, starters);
  return started.map((one, i) => {
    const latents = seen[i]!;
    const noise = one.schedule.stepsRun === 0 ? undefined : one.generator.randn(latents.length);
    return { ...beginningAt(model, one, latents, noise), beside: () => latents };
  });
};
