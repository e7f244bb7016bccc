// A folder of ready ONNX graphs without the configs of diffusers' layout, as TensorStack's Amuse and AMD publish them: what the
// configs would say is worked out from img2img.json, amuse_template.json, the graphs and the family, in this order. A config
// that lies there all the same counts.

import { join } from 'node:path';
import type { ComputingPrecision } from '../../model-facts.js';
import { clipFolder } from '../clip-vocabulary.js';
import type { TokenizerName } from '../folder/components.js';
import { checkJson, type Json, readJson } from '../folder/configs.js';
import { isThere } from '../folder/files.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { fileSettings, PartConfig, SchedulerFile } from '../folder/schemas.js';
import { amuseTemplate, templateFile } from './amuse-template.js';
import { firstOf } from './decided.js';
import { pipelineJson, sampleSize, scalingFactors, settingsJson } from './family-defaults.js';
import { schedulerJson } from './family-schedules.js';
import { defaultOf, type FileFacts, type FileFamily, starterSeen } from './file-facts.js';
import type { ModelSource, OwnComponent, Part, TokenizerSource } from './model-source.js';
import { ReadyGraphs } from './ready-graphs.js';

const schedulerFile = 'scheduler/scheduler_config.json';
const settingsFile = 'img2img.json';
const textFiles = {
  'text_encoder/config.json': 'text_encoder',
  'text_encoder_2/config.json': 'text_encoder_2',
} as const;

const vaeFiles = ['vae/config.json', 'vae_encoder/config.json', 'vae_decoder/config.json'] as const;
/** Where the settings say what such a file would. */
const settingsKeys: Readonly<Record<string, readonly string[]>> = {
  [settingsFile]: [],
  [schedulerFile]: ['scheduler'],
  ...Object.fromEntries(vaeFiles.map((file) => [file, ['vae']])),
};
/** Of keys of scheduler_config.json. */
const otherNames: Readonly<Record<string, readonly string[]>> = {
  prediction_type: ['prediction_type'],
  rescale_betas_zero_snr: ['zero_snr'],
};
const valueAt = (json: Json, key: readonly string[]): unknown =>
  key.reduce((at: Json | undefined, each) => at?.[each], json);
const saysTurbo = (text: string): true | undefined => /turbo/i.test(text) || undefined;

/** Graphs, and no model_index.json. */
export const isReadyOnnx = (path: string): boolean =>
  !isThere(path, 'model_index.json') &&
  ['unet/model.onnx', 'transformer/model.onnx', templateFile].some((file) => isThere(path, file));

export class ReadyOnnxSource implements ModelSource {
  readonly name: string;
  readonly layout = 'ready ONNX graphs without configs';
  private readonly graphs: ReadyGraphs;
  private readonly family: FileFamily;
  private readonly configs: Readonly<Record<string, Json>>;
  /** File -> key -> what decided it. */
  private readonly origins: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** What settings come from, the first first. */
  private readonly told: readonly (readonly [settings: Json, from: string])[];

  /** @throws ModelFolderError when it is of another architecture, a graph is broken, or a file says what it must not */
  constructor(private readonly path: string) {
    this.graphs = new ReadyGraphs(path);
    this.name = this.graphs.folder.name;
    const template = amuseTemplate(readJson(path, templateFile, {}));
    if (isThere(path, 'transformer')) {
      throw new ModelFolderError(
        'it has a transformer in the place of a UNet, as Stable Diffusion 3 and Flux do, which is not supported without a model_index.json that names a StableDiffusion3Pipeline (supported without: Stable Diffusion 1.x, 2.x, XL and latent consistency models)',
      );
    }
    const own = readJson(path, settingsFile, {});
    checkJson(settingsFile, own, fileSettings(own));
    const settings = layered(own, template.settings);
    const family = this.graphs.family(template.refiner);
    const { channels, widths } = this.graphs.shapes('unet');
    const facts: FileFacts = {
      family: family.value,
      seesStarter: channels && starterSeen(channels),
      turbo: firstOf<boolean>(
        [own.turbo, settingsFile],
        [template.settings.turbo, templateFile],
        [saysTurbo(this.name), 'its name'],
        [saysTurbo(settings.title ?? ''), 'its title'],
        [false, defaultOf({ family: family.value })],
      ),
      kontext: { value: false, from: defaultOf({ family: family.value }) },
      latentConsistency: this.graphs.part('unet').facts.inputs.has('timestep_cond'),
      tensors: new Map(),
      metadata: new Map(),
      settings,
      settingsFile,
    };
    const scheduler = schedulerJson(facts);
    const size = sampleSize(facts);
    this.told = [
      [own, settingsFile],
      [template.settings, templateFile],
    ];
    this.family = family.value;
    this.configs = {
      'model_index.json': pipelineJson(facts),
      [schedulerFile]: this.schedulerConfig(scheduler.json, own),
      [settingsFile]: { ...settingsJson(facts).json, turbo: facts.turbo.value },
      'unet/config.json': {
        in_channels: channels?.in,
        out_channels: channels?.out,
        time_cond_proj_dim: widths.get('timestep_cond'),
        sample_size: size.value,
      },
      'vae_decoder/config.json': this.vaeConfig(settings.vae),
    };
    this.origins = {
      'model_index.json': { _class_name: family.from, _name_or_path: facts.turbo.from },
      [schedulerFile]: {
        ...scheduler.origins,
        ...(facts.latentConsistency && !facts.turbo.value && { _class_name: "the UNet's input timestep_cond" }),
      },
      [settingsFile]: { turbo: facts.turbo.from },
      'unet/config.json': { sample_size: size.from },
      'vae_decoder/config.json': { scaling_factor: defaultOf(facts) },
    };
  }

  get root(): string {
    return this.path;
  }

  get tinyVae(): string | undefined {
    return this.graphs.folder.tinyVae;
  }

  json(file: string, schema: object, absent?: Json): Json {
    const composed = file === schedulerFile || file === settingsFile || file === 'vae_decoder/config.json';
    if (!composed && isThere(this.path, file)) return this.graphs.folder.json(file, schema);
    const json = this.configs[file] ?? this.textConfig(file) ?? absent;
    if (!json) throw new ModelFolderError(`${file} is missing`);
    checkJson(file, json, schema);
    return json;
  }

  origin(file: string, key: readonly [string, ...string[]]): string | undefined {
    const there = file !== settingsFile && isThere(this.path, file);
    const places = [
      [...(settingsKeys[file] ?? [file]), ...key],
      ...(file === schedulerFile ? [otherNames[key[0]] ?? []] : []),
    ];
    const says = (settings: Json) => places.some((place) => place.length > 0 && valueAt(settings, place) !== undefined);
    // The template does not go before a config that lies there.
    const told = this.told.slice(0, there ? 1 : 2).find(([settings]) => says(settings))?.[1];
    if (told !== undefined) return told;
    if (there) return this.graphs.folder.origin(file, key);
    const config = this.configs[file] ?? this.textConfig(file);
    if (!config || (valueAt(config, key) ?? null) === null) return undefined;
    return this.origins[file]?.[key[0]] ?? (file === settingsFile ? settingsFile : 'its graphs');
  }

  /** A refiner has no use for a first text encoder. */
  has(component: OwnComponent): boolean {
    return component === 'text_encoder' ? this.family !== 'sdxl-refiner' : this.graphs.folder.has(component);
  }

  /** A part that is none of the graphs may be weights. */
  part(component: OwnComponent, precision: ComputingPrecision): Part {
    const part = this.graphs.part(component);
    return typeof part.graph === 'string' ? part : this.graphs.folder.part(component, precision);
  }

  /** The folder's own, else CLIP's. open_clip pads with the token 0, OpenAI's CLIP with the end token. */
  tokenizer(name: TokenizerName): TokenizerSource {
    const open = name === 'tokenizer_2' || this.family === 'sd2';
    const folder = isThere(this.path, name) ? join(this.path, name) : clipFolder;
    return { folder, padToken: open ? '!' : '<|endoftext|>' };
  }

  private textConfig(file: string): Json | undefined {
    if (!Object.hasOwn(textFiles, file)) return undefined;
    return { max_position_embeddings: this.graphs.text(textFiles[file as keyof typeof textFiles]).tokens };
  }

  /** The decoder's, which goes before the others: with what img2img.json changes. */
  private vaeConfig(settings: Json | undefined): Json {
    const there = vaeFiles.filter((file) => isThere(this.path, file));
    const worked = {
      latent_channels: this.graphs.shapes('vae_decoder').channels?.in,
      scaling_factor: scalingFactors[this.family],
    };
    const decoder = there.includes('vae_decoder/config.json')
      ? this.graphs.folder.json('vae_decoder/config.json', PartConfig)
      : {};
    return { ...(there.length === 0 ? worked : decoder), ...settings };
  }

  /** The folder's own, with what img2img.json changes of it; else what the settings say, and the family's. */
  private schedulerConfig(worked: Json, own: Json): Json {
    if (!isThere(this.path, schedulerFile)) return worked;
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
