// Flux.1 Kontext: the prompt is an instruction, and the transformer sees the starter beside the latents, which begin as noise alone
// unless a request says how much of the starter stays. Source: diffusers, pipeline_flux_kontext.py and pipeline_flux_kontext_inpaint.py.

import type { Family } from './family.js';
import { flux } from './flux.js';

export const fluxKontext: Family = {
  ...flux,
  classes: ['FluxKontext', 'FluxKontextInpaint'],
  starter: 'context',
  kind: () => 'flux-kontext',
};
