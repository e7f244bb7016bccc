// What family of pipelines a folder is of, from its model_index.json, and what follows from that.

import type { Kind } from '../../model-facts.js';
import { ModelFolderError } from './model-folder-error.js';

/** As diffusers' pipelines condition their UNets. */
export interface Family {
  /** `sd`: one text encoder. `sdxl`: two (the refiner has the second only), pooled embeddings and time ids. */
  readonly architecture: 'sd' | 'sdxl';
  /** A latent consistency pipeline: every step runs, whatever the strength. */
  readonly latentConsistency: boolean;
  /** The UNet takes the guidance as an embedding, so that there is no negative row. */
  readonly guidanceEmbedded: boolean;
}

const families: readonly [className: RegExp, family: Omit<Family, 'guidanceEmbedded'>][] = [
  [/^StableDiffusion(Img2Img|Inpaint)?Pipeline$/, { architecture: 'sd', latentConsistency: false }],
  [/^StableDiffusionXL(Img2Img|Inpaint)?Pipeline$/, { architecture: 'sdxl', latentConsistency: false }],
  [/^LatentConsistencyModel(Img2Img)?Pipeline$/, { architecture: 'sd', latentConsistency: true }],
];

/**
 * @param className `_class_name`, with or without the exporter's prefix (ORT, Onnx)
 * @param guidanceEmbedded whether the UNet has the input timestep_cond
 * @throws ModelFolderError for any other
 */
export function familyOf(className: string, guidanceEmbedded: boolean): Family {
  const name = className.replace(/^(ORT|Onnx)/, '');
  const family = families.find(([pattern]) => pattern.test(name))?.[1];
  if (family) return { ...family, guidanceEmbedded };
  throw new ModelFolderError(
    `the pipeline class ${className} is not supported (supported: StableDiffusion, StableDiffusionXL and LatentConsistencyModel pipelines)`,
  );
}

export interface KindFacts extends Family {
  readonly turbo: boolean;
  readonly refiner: boolean;
  readonly velocity: boolean;
}

export function kindOf({
  architecture,
  turbo,
  refiner,
  velocity,
  latentConsistency,
  guidanceEmbedded,
}: KindFacts): Kind {
  if (latentConsistency || guidanceEmbedded) return 'lcm';
  if (architecture === 'sdxl') return refiner ? 'sdxl-refiner' : turbo ? 'sdxl-turbo' : 'sdxl';
  return turbo ? 'sd-turbo' : velocity ? 'sd-v' : 'sd';
}

/** What a request gets that does not say: diffusers' own defaults for guidance, a length of schedule that suits. */
export const kindDefaults: Readonly<Record<Kind, { readonly steps: number; readonly guidance: number }>> = {
  sd: { steps: 25, guidance: 7.5 },
  'sd-v': { steps: 25, guidance: 7.5 },
  'sd-turbo': { steps: 4, guidance: 1 },
  sdxl: { steps: 25, guidance: 5 },
  'sdxl-refiner': { steps: 25, guidance: 5 },
  'sdxl-turbo': { steps: 4, guidance: 1 },
  lcm: { steps: 4, guidance: 8.5 },
};
