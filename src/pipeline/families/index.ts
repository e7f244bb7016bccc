// What family a folder is of: its pipeline's class says it, and its UNet what the class leaves open.

import { ModelFolderError } from '../folder/model-folder-error.js';
import type { Family } from './family.js';
import { flux } from './flux.js';
import { fluxKontext } from './flux-kontext.js';
import { instructPix2Pix } from './instruct-pix2pix.js';
import { latentConsistency } from './latent-consistency.js';
import { refusalOfClass } from './refused.js';
import { stableDiffusion } from './stable-diffusion.js';
import { stableDiffusion3 } from './stable-diffusion-3.js';
import { stableDiffusionXl } from './stable-diffusion-xl.js';

const families: readonly Family[] = [
  stableDiffusion,
  stableDiffusionXl,
  latentConsistency,
  stableDiffusion3,
  flux,
  fluxKontext,
];

/**
 * @param className `_class_name`, with or without the exporter's prefix (ORT, Onnx)
 * @throws ModelFolderError for any other
 */
export function familyOf(className: string): Family {
  const name = className.replace(/^(ORT|Onnx)/, '');
  const family = families.find(({ classes }) => classes.some((each) => `${each}Pipeline` === name));
  if (family) return family;
  const supported = families.flatMap(({ classes }) => classes).join(', ');
  throw new ModelFolderError(
    refusalOfClass(name) ?? `the pipeline class ${className} is not supported (supported: ${supported} pipelines)`,
  );
}

export interface DenoiserFacts {
  /** It takes the guidance as an embedding, so that there is no negative row. */
  readonly guidanceEmbedded: boolean;
  /** It takes the guidance as a number. */
  readonly takesGuidance: boolean;
  /** It takes the starter's latents beside those that it predicts the noise of. */
  readonly seesStarter: boolean;
}

/** @throws ModelFolderError for a denoiser that pipelines of the family do not have */
export function withDenoiser(family: Family, { guidanceEmbedded, takesGuidance, seesStarter }: DenoiserFacts): Family {
  if (seesStarter && (family !== stableDiffusion || guidanceEmbedded)) {
    throw new ModelFolderError(
      'unet takes the starter beside the latents, as InstructPix2Pix does, which is supported for StableDiffusion pipelines only',
    );
  }
  if (seesStarter) return instructPix2Pix;
  if (family.rules.guidance === 'distilled' && !takesGuidance) {
    return { ...family, rules: { ...family.rules, guidance: 'true_only' } };
  }
  if (!guidanceEmbedded) return family;
  return { ...family, rules: { ...family.rules, guidance: 'embedded' }, kind: () => 'lcm' };
}
