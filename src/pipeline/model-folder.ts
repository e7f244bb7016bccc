// What kind of folder is this? Reads a model folder in diffusers' layout (ONNX, as optimum exports it), without onnxruntime.
// Sources of the defaults: diffusers' model configs; optimum's exporters leave some keys out.

import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type SchedulerName, schedulerForClass, schedulerNames } from './schedulers/index.js';
import { type SchedulerConfig, UnsupportedSchedulerError } from './schedulers/schedule.js';

export const components = ['text_encoder', 'unet', 'vae_encoder', 'vae_decoder'] as const;
export type Component = (typeof components)[number];

/** Output sizes that a model can make, in pixels. */
export interface SizeRange {
  readonly native: number;
  readonly multiple: number;
  readonly min: number;
  readonly max: number;
}

export interface ModelFolder {
  readonly name: string;
  readonly path: string;
  readonly title: string;
  readonly description: string;
  readonly license: string | null;
  /** The graphs, by component. */
  readonly graphs: Readonly<Record<Component, string>>;
  readonly schedulerConfig: SchedulerConfig;
  readonly defaults: { readonly steps: number; readonly guidance: number; readonly scheduler: SchedulerName };
  readonly size: SizeRange;
  readonly latentChannels: number;
  /** Pixels per latent, along one side. */
  readonly vaeScale: number;
  readonly scalingFactor: number;
  readonly maxTokens: number;
}

/** Why a folder cannot run, in one sentence for the person who put it there. */
export class ModelFolderError extends Error {}

/** Names of the folders below `modelsDir` that look like models: those with a model_index.json or a component's folder. */
export function findModelFolders(modelsDir: string): string[] {
  if (!existsSync(modelsDir)) return [];
  return readdirSync(modelsDir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => entry.name)
    .filter((name) => ['model_index.json', ...components].some((part) => existsSync(join(modelsDir, name, part))))
    .sort();
}

/** @throws ModelFolderError when something is missing or not supported */
export function readModelFolder(path: string): ModelFolder {
  const index = readJson(path, 'model_index.json');
  const family = String(index._class_name ?? 'unknown');
  if (!/^(ORT|Onnx)?StableDiffusion(Img2Img)?Pipeline$/.test(family)) {
    throw new ModelFolderError(
      `the pipeline class ${family} is not supported (supported: StableDiffusionPipeline, of SD 1.x and 2.x)`,
    );
  }
  const graphs = Object.fromEntries(
    components.map((component) => [component, join(path, component, 'model.onnx')]),
  ) as Record<Component, string>;
  for (const component of components) {
    if (!existsSync(graphs[component])) throw new ModelFolderError(`${component}/model.onnx is missing`);
  }
  const unet = readJson(path, 'unet/config.json', {});
  const vae = { ...readJson(path, 'vae_encoder/config.json', {}), ...readJson(path, 'vae_decoder/config.json', {}) };
  const text = readJson(path, 'text_encoder/config.json', {});
  const settings = readJson(path, 'img2img.json', {});
  const { _class_name: schedulerClass, ...schedulerConfig } = readJson(path, 'scheduler/scheduler_config.json');

  // Each resolution level below the first halves the sides once.
  const halvings = (config: Json, fallback: number) =>
    Array.isArray(config.block_out_channels) ? config.block_out_channels.length - 1 : fallback;
  const vaeScale = 2 ** halvings(vae, 3);
  const native = number(settings.size?.native) ?? (number(unet.sample_size) ?? 64) * vaeScale;
  const multiple = number(settings.size?.multiple) ?? vaeScale * 2 ** halvings(unet, 3);
  return {
    name: basename(path),
    path,
    title: String(settings.title ?? basename(path)),
    description: String(settings.description ?? ''),
    license: settings.license === undefined ? null : String(settings.license),
    graphs,
    schedulerConfig: schedulerConfig as SchedulerConfig,
    defaults: {
      steps: number(settings.defaults?.steps) ?? 25,
      guidance: number(settings.defaults?.guidance) ?? 7.5,
      scheduler: defaultScheduler(settings.defaults?.scheduler, String(schedulerClass), schedulerConfig),
    },
    size: {
      native,
      multiple,
      min: number(settings.size?.min) ?? Math.max(multiple, native / 2),
      max: number(settings.size?.max) ?? native * 2,
    },
    latentChannels: number(vae.latent_channels) ?? 4,
    vaeScale,
    scalingFactor: number(vae.scaling_factor) ?? 0.18215, // SD 1.x and 2.x, whose older exports leave it out
    maxTokens: number(text.max_position_embeddings) ?? 77, // CLIP
  };
}

/** Names, sizes and times of a folder's files: while they stay, so does the digest. */
export function stampFolder(path: string): string {
  return filesOf(path)
    .map(({ name, stat }) => `${name} ${stat.size} ${stat.mtimeMs}`)
    .join('\n');
}

/** sha256 over the names and bytes of all files of a folder: the same digest, the same model. */
export async function digestFolder(path: string): Promise<string> {
  const hash = createHash('sha256');
  for (const { name, stat } of filesOf(path)) {
    hash.update(`${name}\0${stat.size}\0`);
    for await (const chunk of createReadStream(join(path, name))) hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

function filesOf(path: string): { name: string; stat: Stats }[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .sort()
    .flatMap((name) => {
      const stat = statSync(join(path, name), { throwIfNoEntry: false }); // a link may lead nowhere
      return stat?.isFile() ? [{ name, stat }] : [];
    });
}

function defaultScheduler(wanted: unknown, className: string, config: SchedulerConfig): SchedulerName {
  if (wanted !== undefined) {
    if ((schedulerNames as unknown[]).includes(wanted)) return wanted as SchedulerName;
    throw new ModelFolderError(
      `img2img.json names the scheduler ${JSON.stringify(wanted)} (known: ${schedulerNames.join(', ')})`,
    );
  }
  try {
    return schedulerForClass(className, config);
  } catch (error) {
    if (!(error instanceof UnsupportedSchedulerError)) throw error;
    throw new ModelFolderError(
      `${error.message}; name another one in img2img.json: {"defaults": {"scheduler": "ddim"}}`,
    );
  }
}

// biome-ignore lint/suspicious/noExplicitAny: configs of many exporters; each key is checked where it is read
type Json = Record<string, any>;

function readJson(folder: string, file: string, absent?: Json): Json {
  const path = join(folder, file);
  if (!existsSync(path)) {
    if (absent) return absent;
    throw new ModelFolderError(`${file} is missing`);
  }
  const value = parseJson(readFileSync(path, 'utf8'));
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new ModelFolderError(`${file} is not a JSON object`);
}

function parseJson(text: string): unknown {
  try {
    // Python writes infinities that JSON does not have: diffusers' lambda_min_clipped is one.
    return JSON.parse(text.replace(/:\s*-?Infinity\b/g, ': null'));
  } catch {
    return undefined;
  }
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
