// What a single file cannot say: native size, scaling, title; each with what decided it. It comes from the settings beside the
// file, else from its metadata (modelspec, github.com/Stability-AI/ModelSpec), else from keys that tell, else from the family's own
// models.

import { type Json, number } from '../folder/configs.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { maxSettingLength } from '../folder/schemas.js';
import { type Decided, firstOf } from './decided.js';
import { predictionType } from './family-schedules.js';
import { type Composed, defaultOf, type FileFacts, type FileFamily } from './file-facts.js';

/** What is taken off the VAE's latents before they are scaled. */
const shiftFactors: Readonly<Partial<Record<FileFamily, number>>> = { sd3: 0.0609, flux: 0.1159 };
/** Of the VAE's latents. */
export const scalingFactors: Readonly<Record<FileFamily, number>> = {
  sd1: 0.18215,
  sd2: 0.18215,
  sdxl: 0.13025,
  'sdxl-refiner': 0.13025,
  sd3: 1.5305,
  flux: 0.3611,
};

/** What config.json of the VAE says beside its architecture. @throws ModelFolderError for a shift that the family does not have */
export function vaeScaling({ family, settings: { vae }, settingsFile }: FileFacts): Composed {
  const shift = shiftFactors[family];
  if (shift === undefined && (vae?.shift_factor ?? null) !== null) {
    throw new ModelFolderError(`${settingsFile} has vae.shift_factor, which models of this family do not have`);
  }
  const own = { scaling_factor: scalingFactors[family], ...(shift !== undefined && { shift_factor: shift }) };
  const from = (json: Json, what: string) => Object.fromEntries(Object.keys(json).map((key) => [key, what]));
  return {
    json: { ...own, ...vae },
    origins: { ...from(own, defaultOf({ family })), ...from(vae ?? {}, settingsFile) },
  };
}

/**
 * Side of the latents that the model was made for.
 * @param transformer config.json of one, which knows positions for so many patches
 */
export function sampleSize(facts: FileFacts, transformer?: Json): Decided<number> {
  const size = usualSize(facts);
  const most = transformer ? transformer.pos_embed_max_size * transformer.patch_size : Number.POSITIVE_INFINITY;
  return size.value <= most ? size : { value: most, from: 'the positions that its transformer knows' };
}

function usualSize(facts: FileFacts): Decided<number> {
  const [width, height] = (facts.metadata.get('modelspec.resolution') ?? '').split('x').map(Number);
  const told = width === height ? number(width) : undefined;
  const right = told !== undefined && told >= 64 && told <= 4096 && told % 64 === 0;
  return firstOf<number>(
    [right ? told / 8 : undefined, 'metadata modelspec.resolution'],
    [familySide(facts) / 8, defaultOf(facts)],
  );
}

/** Pixels. */
function familySide(facts: FileFacts): number {
  if (facts.family === 'sd3') return 1024;
  if (facts.family === 'sdxl' || facts.family === 'sdxl-refiner') return facts.turbo.value ? 512 : 1024;
  return facts.family === 'sd2' && predictionType(facts).value === 'v_prediction' ? 768 : 512;
}

export function pipelineJson(facts: FileFacts): Json {
  const { family, metadata } = facts;
  const xl = family === 'sdxl' || family === 'sdxl-refiner';
  const edits = facts.seesStarter === 'whole' && !facts.latentConsistency;
  const plain = facts.latentConsistency
    ? 'LatentConsistencyModelPipeline'
    : edits
      ? 'StableDiffusionInstructPix2PixPipeline'
      : 'StableDiffusionPipeline';
  const flux = facts.kontext.value ? 'FluxKontextPipeline' : 'FluxPipeline';
  const others = { sd3: 'StableDiffusion3Pipeline', flux } as const;
  return {
    _class_name: family === 'sd3' || family === 'flux' ? others[family] : xl ? 'StableDiffusionXLPipeline' : plain,
    _name_or_path: (metadata.get('modelspec.title') ?? '').slice(0, maxSettingLength.title),
    requires_aesthetics_score: family === 'sdxl-refiner',
    force_zeros_for_empty_prompt: family === 'sdxl',
  };
}

/** img2img.json: the settings, and from the metadata what they do not say; and what each of its keys comes from. */
export function settingsJson({
  settings,
  settingsFile,
  metadata,
}: Pick<FileFacts, 'settings' | 'settingsFile' | 'metadata'>): Composed {
  const told = Object.entries(maxSettingLength).flatMap(([key, length]): [string, string][] => {
    const text = metadata.get(`modelspec.${key}`);
    return text ? [[key, text.slice(0, length)]] : [];
  });
  const { scheduler, prediction_type: _type, zero_snr: _snr, vae: _vae, text_encoders: _lender, ...own } = settings;
  const named = typeof scheduler === 'string' && { defaults: { scheduler, ...own.defaults } };
  return {
    json: { ...Object.fromEntries(told), ...own, ...named },
    origins: {
      ...Object.fromEntries(told.map(([key]) => [key, `metadata modelspec.${key}`])),
      ...Object.fromEntries(Object.keys({ ...own, ...named }).map((key) => [key, settingsFile])),
    },
  };
}
