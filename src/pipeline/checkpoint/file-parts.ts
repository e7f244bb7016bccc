// Which parts a single file in the original layout holds, by the family that its keys tell: their tensors by diffusers' names, and
// the config.json of each as their shapes tell it.

import type { TextEncoder } from '../folder/components.js';
import type { Json } from '../folder/configs.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import type { FileFamily } from './file-facts.js';
import { unetPrefix, vaePrefix } from './file-kind.js';
import { originalFluxTransformer } from './original-flux-transformer.js';
import { originalJointTransformer } from './original-joint-transformer.js';
import {
  openClip,
  openClipLayers,
  originalUnet,
  originalVae,
  plainNames,
  transformersClip,
} from './original-layout.js';
import { identityProjection } from './part-configs.js';
import { refuseQuantised } from './quantised.js';
import { clipTextJson, unetJson, vaeJson } from './shapes.js';
import { fluxTransformerJson, jointTransformerJson, t5Json } from './transformer-shapes.js';
import type { Tensors } from './written-part.js';

export interface FilePart {
  readonly tensors: Tensors;
  readonly config: Json;
}

/** One VAE holds both halves. */
export type FileParts = Readonly<Partial<Record<'unet' | 'transformer' | 'vae' | TextEncoder, FilePart>>>;
type TextParts = Readonly<Partial<Record<TextEncoder, FilePart>>>;

const clipPrefix = 'cond_stage_model.transformer.';
const openClipPrefix = 'cond_stage_model.model.';
const xlClipPrefix = 'conditioner.embedders.0.transformer.';
const xlOpenClipPrefix = 'conditioner.embedders.1.model.';
const refinerPrefix = 'conditioner.embedders.0.model.';
const jointPrefix = `${unetPrefix}joint_blocks.`;
const doubleBlocks = 'double_blocks.';
/** As ComfyUI saves Flux, beside the one of the others. */
const fluxVaePrefix = 'vae.';
/** Of Stable Diffusion 3, and without the second of Flux, whose second is the T5. */
const encoderPrefixes = {
  text_encoder: 'text_encoders.clip_l.transformer.',
  text_encoder_2: 'text_encoders.clip_g.transformer.',
  text_encoder_3: 'text_encoders.t5xxl.transformer.',
} as const;

/** The first that a file has decides. */
const familyPrefixes: readonly (readonly [prefix: string, family: FileFamily])[] = [
  [jointPrefix, 'sd3'],
  [unetPrefix + doubleBlocks, 'flux'],
  [doubleBlocks, 'flux'],
  [xlOpenClipPrefix, 'sdxl'],
  [refinerPrefix, 'sdxl-refiner'],
  [openClipPrefix, 'sd2'],
  [clipPrefix, 'sd1'],
];
export const familyKeys = Object.fromEntries(
  familyPrefixes.map(([prefix, family]) => [family, `the keys ${prefix}…`]),
) as Readonly<Record<FileFamily, string>>;

const holds = (tensors: Tensors, prefix: string) => [...tensors.keys()].some((name) => name.startsWith(prefix));

/** @throws ModelFolderError for a file whose text encoder would tell the family, and that has none */
export function familyOf(tensors: Tensors): FileFamily {
  const found = familyPrefixes.find(([prefix]) => holds(tensors, prefix));
  if (found) return found[1];
  throw new ModelFolderError('it holds no text encoder that is known; take the version of the file that has one');
}

/** @throws ModelFolderError where there is no VAE, or one of the parts is in eight bits */
export function partsOf(tensors: Tensors, family: FileFamily): FileParts {
  const vae = vaeOf(tensors, family);
  const encoders = textParts(tensors, family);
  const parts = { ...encoders, ...denoiserOf(tensors, family, encoders), ...vae };
  for (const [part, held] of Object.entries(parts)) refuseQuantised(part, held.tensors);
  return parts;
}

/** A Flux may be a transformer alone. */
function vaeOf(tensors: Tensors, family: FileFamily): FileParts {
  const isFlux = family === 'flux';
  const vae = originalVae(tensors, isFlux && holds(tensors, fluxVaePrefix) ? fluxVaePrefix : vaePrefix);
  if (vae.size > 0) return { vae: { tensors: vae, config: vaeJson(vae) } };
  if (isFlux) return {};
  throw new ModelFolderError('it holds no VAE; take the version of the file that has one');
}

function denoiserOf(tensors: Tensors, family: FileFamily, encoders: TextParts): FileParts {
  if (family === 'sd3') {
    const transformer = originalJointTransformer(tensors, unetPrefix);
    return { transformer: { tensors: transformer, config: jointTransformerJson(transformer) } };
  }
  if (family === 'flux') {
    const prefix = holds(tensors, unetPrefix + doubleBlocks) ? unetPrefix : '';
    const transformer = originalFluxTransformer(tensors, prefix);
    return { transformer: { tensors: transformer, config: fluxTransformerJson(transformer) } };
  }
  const width = encoders.text_encoder_2?.config.projection_dim;
  const unet = originalUnet(tensors, unetPrefix);
  const pooled = width && { width, timeIds: family === 'sdxl-refiner' ? 5 : 6 };
  return { unet: { tensors: unet, config: unetJson(unet, pooled) } };
}

/** Layers of Stable Diffusion 2's encoder, which takes the last but one; a file may have left the last out. */
const openClipHUsed = 23;

/** OpenAI's CLIP has another activation than open_clip's. */
const openAi = (tensors: Tensors): FilePart => ({ tensors, config: clipTextJson(tensors, 'quick_gelu') });
function t5(tensors: Tensors, prefix: string): FilePart {
  const own = plainNames(tensors, prefix);
  return { tensors: own, config: t5Json(own) };
}
const open = (tensors: Tensors): FilePart => ({ tensors, config: clipTextJson(tensors, 'gelu') });

function textParts(tensors: Tensors, family: FileFamily): TextParts {
  switch (family) {
    case 'sd1':
      return { text_encoder: openAi(transformersClip(tensors, clipPrefix)) };
    case 'sd2': {
      const count = openClipLayers(tensors, openClipPrefix);
      const used = new Map(openClip(tensors, openClipPrefix, count === openClipHUsed ? count : count - 1));
      used.delete('text_projection'); // of what the pipeline does not take
      return { text_encoder: open(used) };
    }
    case 'sdxl':
      return {
        text_encoder: openAi(transformersClip(tensors, xlClipPrefix)),
        text_encoder_2: open(openClip(tensors, xlOpenClipPrefix)),
      };
    case 'sdxl-refiner':
      return { text_encoder_2: open(openClip(tensors, refinerPrefix)) };
    case 'flux':
      return {
        ...(holds(tensors, encoderPrefixes.text_encoder) && {
          text_encoder: openAi(transformersClip(tensors, encoderPrefixes.text_encoder)),
        }),
        ...(holds(tensors, encoderPrefixes.text_encoder_3) && {
          text_encoder_2: t5(tensors, encoderPrefixes.text_encoder_3),
        }),
      };
    case 'sd3':
      return Object.fromEntries(
        (Object.keys(encoderPrefixes) as (keyof typeof encoderPrefixes)[])
          .filter((component) => holds(tensors, encoderPrefixes[component]))
          .map((component) => [component, sd3Encoder[component](tensors, encoderPrefixes[component])]),
      );
  }
}

const sd3Encoder: Readonly<Record<TextEncoder, (tensors: Tensors, prefix: string) => FilePart>> = {
  /** Its projection is the identity, as diffusers has it, whatever the file says. */
  text_encoder: (tensors, prefix) => {
    const clip = openAi(transformersClip(tensors, prefix));
    return { ...clip, config: { ...clip.config, [identityProjection]: true } };
  },
  text_encoder_2: (tensors, prefix) => {
    const projection = tensors.get(`${prefix}text_projection.weight`);
    const own = transformersClip(tensors, prefix);
    return open(projection ? new Map([...own, ['text_projection.weight', projection]]) : own);
  },
  text_encoder_3: t5,
};
