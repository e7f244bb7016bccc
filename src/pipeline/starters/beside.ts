// The starter as what the UNet sees beside the latents, which begin as noise alone.
// Source: diffusers, pipeline_stable_diffusion_instruct_pix2pix.py: the latents are the mean of the encoder's, unscaled, zeros in
// the row without the starter; the noise is the only draw before the steps'.

import { pureNoise } from '../numbers/mask.js';
import { encodeUnscaled } from '../vae.js';
import type { Begin } from './begin.js';

export const beside: Begin = async (model, started) => {
  const starters = started.map(({ request: { pixels } }) => ({ pixels, generator: undefined }));
  const seen = await encodeUnscaled(model, starters);
  return started.map(({ generator, schedule: { scheduler } }, i) => {
    const latents = seen[i]!;
    const zeros = new Float32Array(latents.length);
    return {
      latents: pureNoise(generator.randn(latents.length), scheduler, model.folder.schedulerConfig),
      beside: (row) => (row === 'nothing' ? zeros : latents),
    };
  });
};
