// A folder of ready ONNX graphs without the configs of diffusers' layout, as TensorStack's Amuse and AMD publish them: what the
// configs would say is worked out from img2img.json, amuse_template.json, the graphs and the family, in this order. A config
// that lies there all the same counts.

import { join } from 'node:path';
import { clipFolder } from '../clip-vocabulary.js';
import type { Component } from '../folder/components.js';
import { checkJson, type Json, readJson } from '../folder/configs.js';
import { isThere } from '../folder/files.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { fileSettings, SchedulerFile } from '../folder/schemas.js';
import { amuseTemplate, templateFile } from './amuse-template.js';
import {
  type FileFacts,
  type FileFamily,
  pipelineJson,
  sampleSize,
  scalingFactors,
  schedulerJson,
  settingsJson,
} from './family-defaults.js';
import type { Decision, ModelSource, Part, TokenizerSource } from './model-source.js';
import { readyDecisions, schedulerFile, settingsFile } from './ready-decisions.js';
import { ReadyGraphs } from './ready-graphs.js';

const textFiles = {
  'text_encoder/config.json': 'text_encoder',
  'text_encoder_2/config.json': 'text_encoder_2',
} as const;

/** Graphs, and no model_index.json. */
export const isReadyOnnx = (path: string): boolean =>
  !isThere(path, 'model_index.json') &&
  ['unet/model.onnx', 'transformer/model.onnx', templateFile].some((file) => isThere(path, file));

export class ReadyOnnxSource implements ModelSource {
  readonly name: string;
  readonly decisions: readonly Decision[];
  private readonly graphs: ReadyGraphs;
  private readonly family: FileFamily;
  private readonly configs: Readonly<Record<string, Json>>;

  /** @throws ModelFolderError when it is of another architecture, a graph is broken, or a file says what it must not */
  constructor(private readonly path: string) {
    this.graphs = new ReadyGraphs(path);
    this.name = this.graphs.folder.name;
    const template = amuseTemplate(readJson(path, templateFile, {}));
    if (isThere(path, 'transformer')) {
      throw new ModelFolderError(
        'it has a transformer in the place of a UNet, as Stable Diffusion 3 and Flux do, which is not supported (supported: Stable Diffusion 1.x, 2.x, XL and latent consistency models)',
      );
    }
    const own = readJson(path, settingsFile, {});
    checkJson(settingsFile, own, fileSettings(own.scheduler));
    const settings = layered(own, template.settings);
    const family = this.graphs.family(template.refiner);
    const { channels, widths } = this.graphs.shapes('unet');
    const facts: FileFacts = {
      family: family.value,
      inpaints: channels !== undefined && channels.in === 2 * channels.out + 1,
      turbo: settings.turbo ?? /turbo/i.test(`${this.name} ${settings.title ?? ''}`),
      latentConsistency: this.graphs.part('unet').facts.inputs.has('timestep_cond'),
      tensors: new Map(),
      metadata: new Map(),
      settings,
    };
    this.family = family.value;
    this.configs = {
      'model_index.json': pipelineJson(facts),
      [schedulerFile]: this.schedulerConfig(facts, own),
      [settingsFile]: { ...settingsJson(facts), turbo: facts.turbo },
      'unet/config.json': {
        in_channels: channels?.in,
        out_channels: channels?.out,
        time_cond_proj_dim: widths.get('timestep_cond'),
        sample_size: sampleSize(facts),
      },
      'vae_decoder/config.json': {
        latent_channels: this.graphs.shapes('vae_decoder').channels?.in,
        scaling_factor: scalingFactors[family.value],
        ...settings.vae,
      },
    };
    const told = { own, template: template.settings, configs: this.configs };
    this.decisions = [{ what: 'family', ...family }, ...readyDecisions(path, facts, told)];
  }

  json(file: string, schema: object, absent?: Json): Json {
    const composed = file === schedulerFile || file === settingsFile;
    if (!composed && isThere(this.path, file)) return this.graphs.folder.json(file, schema);
    const json = this.configs[file] ?? this.textConfig(file) ?? absent;
    if (!json) throw new ModelFolderError(`${file} is missing`);
    checkJson(file, json, schema);
    return json;
  }

  /** A refiner has no use for a first text encoder. */
  has(component: Component): boolean {
    return component === 'text_encoder' ? this.family !== 'sdxl-refiner' : this.graphs.folder.has(component);
  }

  part(component: Component): Part {
    return this.graphs.part(component);
  }

  /** The folder's own, else CLIP's. open_clip pads with the token 0, OpenAI's CLIP with the end token. */
  tokenizer(name: 'tokenizer' | 'tokenizer_2'): TokenizerSource {
    const open = name === 'tokenizer_2' || this.family === 'sd2';
    const folder = isThere(this.path, name) ? join(this.path, name) : clipFolder;
    return { folder, padToken: open ? '!' : '<|endoftext|>' };
  }

  private textConfig(file: string): Json | undefined {
    if (!Object.hasOwn(textFiles, file)) return undefined;
    return { max_position_embeddings: this.graphs.text(textFiles[file as keyof typeof textFiles]).tokens };
  }

  /** The folder's own, with what img2img.json changes of it; else what the settings say, and the family's. */
  private schedulerConfig(facts: FileFacts, own: Json): Json {
    if (!isThere(this.path, schedulerFile)) return schedulerJson(facts);
    return {
      ...this.graphs.folder.json(schedulerFile, SchedulerFile),
      ...(own.prediction_type !== undefined && { prediction_type: own.prediction_type }),
      ...(own.zero_snr !== undefined && { rescale_betas_zero_snr: own.zero_snr }),
      ...(typeof own.scheduler === 'object' && own.scheduler),
    };
  }
}

/** img2img.json goes before the template; a scheduler's name is the default of requests, and leaves the template's keys alone. */
function layered(own: Json, template: Json): Json {
  const name = typeof own.scheduler === 'string' ? own.scheduler : undefined;
  return {
    ...template,
    ...own,
    size: { ...template.size, ...own.size },
    defaults: { ...template.defaults, ...(name !== undefined && { scheduler: name }), ...own.defaults },
    scheduler: { ...template.scheduler, ...(name === undefined && own.scheduler) },
  };
}
