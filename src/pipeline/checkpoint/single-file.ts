// A single safetensors file in the original layout, as a folder in diffusers' layout would be: its tensors by diffusers' names,
// and the configs that such a folder has, worked out from shapes, metadata and family.

import { basename, dirname } from 'node:path';
import type { ComputingPrecision } from '../../model-facts.js';
import { clipFolder } from '../clip-vocabulary.js';
import { checkJson, type Json, readJson } from '../folder/configs.js';
import { checkFile } from '../folder/files.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { fileSettings, PartConfig } from '../folder/schemas.js';
import { readHeader } from '../safetensors/header.js';
import {
  type FileFacts,
  type FileFamily,
  pipelineJson,
  sampleSize,
  scalingFactors,
  schedulerJson,
  settingsJson,
  starterSeen,
  turbo,
} from './family-defaults.js';
import { checkIsModel, unetPrefix, vaePrefix } from './file-kind.js';
import { fileExtension, fileModelName, settingsOf } from './file-names.js';
import type { ModelSource, OwnComponent, Part, TokenizerSource } from './model-source.js';
import { openClip, openClipLayers, originalUnet, originalVae, transformersClip } from './original-layout.js';
import { clipTextJson, unetJson, vaeJson } from './shapes.js';
import { type Tensors, weightPrecisionsOf, writePart } from './written-part.js';

type TextEncoder = 'text_encoder' | 'text_encoder_2';

export class SingleFileSource implements ModelSource {
  readonly name: string;
  readonly layout = 'a single file in the original layout';
  readonly root: string;
  readonly tinyVae = undefined;
  private readonly file: string;
  private readonly configs: Readonly<Record<string, Json>>;
  /** File -> key -> what decided it. */
  private readonly origins: Readonly<Record<string, Readonly<Record<string, string>>>>;
  private readonly tensors: Readonly<Partial<Record<'unet' | 'vae' | TextEncoder, Tensors>>>;

  /** @throws ModelFolderError when the file is broken, or no model that is supported */
  constructor(path: string) {
    const stem = basename(path, fileExtension);
    this.name = fileModelName(path);
    this.file = basename(path);
    this.root = dirname(path);
    const { tensors, metadata } = headerOf(path);
    checkIsModel(tensors);
    const family = familyOf(tensors);
    const unet = originalUnet(tensors, unetPrefix);
    const vae = originalVae(tensors, vaePrefix);
    if (vae.size === 0) throw new ModelFolderError('it holds no VAE; take the version of the file that has one');
    const encoders = textEncodersOf(tensors, family);
    this.tensors = { unet, vae, ...encoders };

    const settings = settingsBeside(path);
    const settingsFile = basename(settingsOf(path));
    const facts: FileFacts = {
      family,
      seesStarter: starterSeen({
        in: unet.get('conv_in.weight')?.shape[1] ?? 0,
        out: unet.get('conv_out.weight')?.shape[0] ?? 0,
      }),
      turbo: turbo(stem, { family, metadata, settings, settingsFile }),
      latentConsistency: unet.has('time_embedding.cond_proj.weight'),
      tensors,
      metadata,
      settings,
      settingsFile,
    };
    const configs = Object.entries(encoders).map(([component, own]): [TextEncoder, Json] => [
      component as TextEncoder,
      clipTextJson(own, component === 'text_encoder' && family !== 'sd2' ? 'quick_gelu' : 'gelu'),
    ]);
    const pooledWidth = configs.find(([component]) => component === 'text_encoder_2')?.[1].projection_dim;
    const pooled = pooledWidth && { width: pooledWidth, timeIds: family === 'sdxl-refiner' ? 5 : 6 };
    const scheduler = schedulerJson(facts);
    const own = settingsJson(facts);
    const size = sampleSize(facts);
    this.configs = {
      'model_index.json': pipelineJson(facts),
      'scheduler/scheduler_config.json': scheduler.json,
      'unet/config.json': { ...unetJson(unet, pooled), sample_size: size.value },
      'vae/config.json': { ...vaeJson(vae), scaling_factor: scalingFactors[family], ...settings.vae },
      'img2img.json': own.json,
      ...Object.fromEntries(configs.map(([component, config]) => [`${component}/config.json`, config])),
    };
    this.origins = {
      'model_index.json': { _class_name: keyOf[family], _name_or_path: facts.turbo.from },
      'scheduler/scheduler_config.json': scheduler.origins,
      'unet/config.json': { sample_size: size.from },
      'vae/config.json': {
        scaling_factor: `the default of ${family}`,
        ...Object.fromEntries(Object.keys(settings.vae ?? {}).map((key) => [key, settingsFile])),
      },
      'img2img.json': own.origins,
    };
  }

  origin(file: string, [key, ...inside]: readonly [string, ...string[]]): string | undefined {
    const value = inside.reduce((at: unknown, each) => (at as Json | undefined)?.[each], this.configs[file]?.[key]);
    if (value === undefined) return undefined;
    return this.origins[file]?.[key] ?? 'the shapes of its tensors';
  }

  json(file: string, schema: object, absent?: Json): Json {
    const json = this.configs[file] ?? absent;
    if (!json) throw new ModelFolderError(`${file} is missing`);
    checkJson(file, json, schema);
    return json;
  }

  has(component: OwnComponent): boolean {
    return this.tensorsOf(component) !== undefined;
  }

  part(component: OwnComponent, precision: ComputingPrecision): Part {
    const tensors = this.tensorsOf(component);
    if (!tensors) throw new ModelFolderError(`it holds no ${component}`);
    const file = `${component.startsWith('vae') ? 'vae' : component}/config.json`;
    const written = writePart(component, tensors, this.json(file, PartConfig), file, precision);
    return { graph: written, facts: written.facts, file: this.file, weights: weightPrecisionsOf(tensors) };
  }

  /** open_clip pads with the token 0, OpenAI's CLIP with the end token. */
  tokenizer(name: 'tokenizer' | 'tokenizer_2'): TokenizerSource {
    const component = name === 'tokenizer' ? 'text_encoder' : 'text_encoder_2';
    const open = this.configs[`${component}/config.json`]?.hidden_act === 'gelu';
    return { folder: clipFolder, padToken: open ? '!' : '<|endoftext|>' };
  }

  private tensorsOf(component: OwnComponent): Tensors | undefined {
    if (component === 'safety_checker') return undefined; // it always lies beside
    return this.tensors[component === 'vae_encoder' || component === 'vae_decoder' ? 'vae' : component];
  }
}

function settingsBeside(path: string): Json {
  const file = basename(settingsOf(path));
  const settings = readJson(dirname(path), file, {});
  checkJson(file, settings, fileSettings(settings));
  return settings;
}

function headerOf(path: string) {
  checkFile(dirname(path), basename(path));
  try {
    return readHeader(path);
  } catch (error) {
    if (error instanceof RangeError) throw new ModelFolderError(`it cannot be read: ${error.message}`);
    throw error;
  }
}

const clipPrefix = 'cond_stage_model.transformer.';
const openClipPrefix = 'cond_stage_model.model.';
const xlClipPrefix = 'conditioner.embedders.0.transformer.';
const xlOpenClipPrefix = 'conditioner.embedders.1.model.';
const refinerPrefix = 'conditioner.embedders.0.model.';

/** The first that a file has decides. */
const familyPrefixes: readonly (readonly [prefix: string, family: FileFamily])[] = [
  [xlOpenClipPrefix, 'sdxl'],
  [refinerPrefix, 'sdxl-refiner'],
  [openClipPrefix, 'sd2'],
  [clipPrefix, 'sd1'],
];
const keyOf = Object.fromEntries(familyPrefixes.map(([prefix, family]) => [family, `the keys ${prefix}…`])) as Readonly<
  Record<FileFamily, string>
>;

function familyOf(tensors: Tensors): FileFamily {
  const names = [...tensors.keys()];
  const found = familyPrefixes.find(([prefix]) => names.some((name) => name.startsWith(prefix)));
  if (found) return found[1];
  throw new ModelFolderError('it holds no text encoder that is known; take the version of the file that has one');
}

/** Layers of Stable Diffusion 2's encoder, which takes the last but one; a file may have left the last out. */
const openClipHUsed = 23;

function textEncodersOf(tensors: Tensors, family: FileFamily): Partial<Record<TextEncoder, Tensors>> {
  switch (family) {
    case 'sd1':
      return { text_encoder: transformersClip(tensors, clipPrefix) };
    case 'sd2': {
      const count = openClipLayers(tensors, openClipPrefix);
      const used = new Map(openClip(tensors, openClipPrefix, count === openClipHUsed ? count : count - 1));
      used.delete('text_projection'); // of what the pipeline does not take
      return { text_encoder: used };
    }
    case 'sdxl':
      return {
        text_encoder: transformersClip(tensors, xlClipPrefix),
        text_encoder_2: openClip(tensors, xlOpenClipPrefix),
      };
    case 'sdxl-refiner':
      return { text_encoder_2: openClip(tensors, refinerPrefix) };
  }
}
