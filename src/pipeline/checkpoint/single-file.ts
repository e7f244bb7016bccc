// A single safetensors file in the original layout, as a folder in diffusers' layout would be: its tensors by diffusers' names,
// and the configs that such a folder has, worked out from shapes, metadata and family. Text encoders that it does not hold, and of a
// Flux the VAE, may be those of a folder beside it.

import { basename, dirname } from 'node:path';
import type { ComputingPrecision } from '../../model-facts.js';
import { clipFolder } from '../clip-vocabulary.js';
import { type TextEncoder, type TokenizerName, textEncoders, tokenizers } from '../folder/components.js';
import { checkJson, type Json, readJson } from '../folder/configs.js';
import { checkFile } from '../folder/files.js';
import { ModelFolderError, shown } from '../folder/model-folder-error.js';
import { PartConfig, singleFileSettings } from '../folder/schemas.js';
import { readHeader } from '../safetensors/header.js';
import { pipelineJson, sampleSize, settingsJson, vaeScaling } from './family-defaults.js';
import { schedulerJson } from './family-schedules.js';
import { type FileFacts, kontext, starterSeen, turbo } from './file-facts.js';
import { checkIsModel } from './file-kind.js';
import { fileExtension, fileModelName, settingsOf } from './file-names.js';
import { type FileParts, familyKeys, familyOf, partsOf } from './file-parts.js';
import { Lender, lendingHint } from './lender.js';
import type { ModelSource, OwnComponent, Part, TokenizerSource } from './model-source.js';
import { weightPrecisionsOf, writePart } from './written-part.js';

export class SingleFileSource implements ModelSource {
  readonly name: string;
  readonly layout = 'a single file in the original layout';
  readonly root: string;
  readonly tinyVae = undefined;
  private readonly file: string;
  private readonly parts: FileParts;
  private readonly lender: Lender | undefined;
  private readonly configs: Readonly<Record<string, Json>>;
  /** File -> key -> what decided it. */
  private readonly origins: Readonly<Record<string, Readonly<Record<string, string>>>>;

  /** @throws ModelFolderError when the file is broken, or no model that is supported */
  constructor(private readonly path: string) {
    const stem = basename(path, fileExtension);
    this.name = fileModelName(path);
    this.file = basename(path);
    this.root = dirname(path);
    const { tensors, metadata } = headerOf(path);
    checkIsModel(tensors);
    const family = familyOf(tensors);
    this.parts = partsOf(tensors, family);
    const { unet, transformer, vae } = this.parts;

    const settings = settingsBeside(path);
    const settingsFile = basename(settingsOf(path));
    this.lender = lenderTo(path, settings, this.parts);
    const facts: FileFacts = {
      family,
      seesStarter: unet && starterSeen({ in: unet.config.in_channels, out: unet.config.out_channels }),
      turbo: turbo(stem, { family, metadata, settings, settingsFile }),
      kontext: kontext(stem, { family, metadata }),
      latentConsistency: unet?.tensors.has('time_embedding.cond_proj.weight') === true,
      tensors,
      metadata,
      settings,
      settingsFile,
    };
    const scheduler = schedulerJson(facts);
    const own = settingsJson(facts);
    const scaling = vaeScaling(facts);
    const size = family === 'flux' ? undefined : sampleSize(facts, transformer?.config); // its configs name none
    const denoiser = transformer ? 'transformer' : 'unet';
    const borrowed = textEncoders.filter((one) => this.borrows(one));
    const lentVae = this.borrows('vae_decoder') ? { ...this.lender!.config('vae'), ...settings.vae } : undefined;
    this.configs = {
      ...Object.fromEntries(Object.entries(this.parts).map(([part, { config }]) => [`${part}/config.json`, config])),
      ...Object.fromEntries(borrowed.map((one) => [`${one}/config.json`, this.lender!.config(one)])),
      'model_index.json': pipelineJson(facts),
      'scheduler/scheduler_config.json': scheduler.json,
      [`${denoiser}/config.json`]: { ...(transformer ?? unet)!.config, ...(size && { sample_size: size.value }) },
      'vae/config.json': lentVae ?? { ...vae?.config, ...scaling.json },
      'img2img.json': own.json,
    };
    this.origins = {
      'model_index.json': {
        _class_name: facts.kontext.value ? facts.kontext.from : familyKeys[family],
        _name_or_path: facts.turbo.from,
      },
      'scheduler/scheduler_config.json': scheduler.origins,
      [`${denoiser}/config.json`]: size ? { sample_size: size.from } : {},
      'vae/config.json': lentVae ? {} : scaling.origins,
      'img2img.json': own.origins,
    };
  }

  get textEncodersOf(): string | undefined {
    return this.lender?.name;
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
    return this.held(component) !== undefined || this.borrows(component);
  }

  part(component: OwnComponent, precision: ComputingPrecision): Part {
    if (this.borrows(component)) return this.lender!.part(component, precision);
    const part = this.held(component);
    if (!part) {
      const hint = isLent(component) ? `; ${lendingHint(this.path)}` : '';
      throw new ModelFolderError(`it holds no ${component.startsWith('vae') ? 'VAE' : component}${hint}`);
    }
    const file = `${component.startsWith('vae') ? 'vae' : component}/config.json`;
    const written = writePart(component, part.tensors, this.json(file, PartConfig), file, precision);
    return { graph: written, facts: written.facts, file: this.file, weights: weightPrecisionsOf(part.tensors) };
  }

  /** What is borrowed comes with its own, as a T5's does. open_clip pads with the token 0, OpenAI's CLIP with the end token. */
  tokenizer(name: TokenizerName): TokenizerSource {
    const component = textEncoders.find((one) => tokenizers[one] === name)!;
    const config = this.configs[`${component}/config.json`];
    const isT5 = config?.model_type === 't5';
    const lends = this.lender?.hasTokenizer(name) === true;
    if (lends && (isT5 || this.borrows(component))) return this.lender!.tokenizer(name);
    if (isT5) {
      throw new ModelFolderError(
        `it has a T5 and no tokenizer for it, which lies in ${name}; ${lendingHint(this.path)}`,
      );
    }
    return { folder: clipFolder, padToken: config?.hidden_act === 'gelu' ? '!' : '<|endoftext|>' };
  }

  /** Whether the lender has it and the file has not. */
  private borrows(component: OwnComponent): boolean {
    return isLent(component) && this.held(component) === undefined && this.lender?.has(component) === true;
  }

  private held(component: OwnComponent) {
    if (component === 'vae_encoder' || component === 'vae_decoder') return this.parts.vae;
    return component === 'safety_checker' ? undefined : this.parts[component]; // that always lies beside
  }
}

const isLent = (component: OwnComponent) => /^(text_encoder|vae)/.test(component);

/** @throws ModelFolderError where it is not there, or the file has no use for it */
function lenderTo(path: string, { text_encoders: name }: Json, parts: FileParts): Lender | undefined {
  if ((name ?? null) === null) return undefined;
  const lender = new Lender(path, name);
  const isWanted = (one: TextEncoder) => {
    const own = parts[one];
    return own ? own.config.model_type === 't5' && lender.hasTokenizer(tokenizers[one]) : lender.has(one);
  };
  const wantsVae = !parts.vae && lender.has('vae_decoder');
  if (parts.transformer && (wantsVae || textEncoders.some(isWanted))) return lender;
  throw new ModelFolderError(
    `${basename(settingsOf(path))} has text_encoders ${shown(name)}, which has none that the file lacks`,
  );
}

function settingsBeside(path: string): Json {
  const file = basename(settingsOf(path));
  const settings = readJson(dirname(path), file, {});
  checkJson(file, settings, singleFileSettings(settings));
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
