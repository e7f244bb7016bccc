// Where a model's configs, graphs and tokenizers come from: a folder in diffusers' layout, whose parts are ONNX graphs or
// safetensors, each as it comes; or a single file.

import { basename, join } from 'node:path';
import type { ComputingPrecision, WeightPrecision } from '../../model-facts.js';
import type { Component, TokenizerName } from '../folder/components.js';
import { checkJson, type Json, readJson } from '../folder/configs.js';
import { checkFile, isThere } from '../folder/files.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { PartConfig } from '../folder/schemas.js';
import { type GraphFacts, graphFacts } from '../onnx/graph-facts.js';
import { dataTypes } from '../onnx/graph-file.js';
import { findSafetensors, readSafetensors } from '../safetensors/files.js';
import { type WrittenPart, weightPrecisionsOf, writePart } from './written-part.js';

/** What is a model's own; the tiny autoencoder lies beside it. */
export type OwnComponent = Exclude<Component, 'tiny_decoder'>;

/** A file's path, or a graph that we write. */
export type GraphSource = string | WrittenPart;

export interface Part {
  readonly graph: GraphSource;
  readonly facts: GraphFacts;
  /** What holds its weights, such as unet/model.onnx. */
  readonly file: string;
  /** As they are stored. */
  readonly weights: readonly WeightPrecision[];
}

export interface ModelSource {
  readonly name: string;
  /** For people. */
  readonly layout: string;
  /**
   * @param file such as unet/config.json
   * @param schema of the keys that are read
   * @param absent what a missing one counts as
   * @throws ModelFolderError when it is missing, no JSON object, or one that says what it must not
   */
  json(file: string, schema: object, absent?: Json): Json;
  /**
   * What decided a value of such a file, for people: the file itself where there is one.
   * @param key and, for what is nested, the keys inside
   * @returns undefined where nothing says it, so that a default counts
   */
  origin(file: string, key: readonly [string, ...string[]]): string | undefined;
  has(component: OwnComponent): boolean;
  /**
   * @param precision that the graph is to compute in where it is ours to write
   * @throws ModelFolderError when it is missing, broken or not supported
   */
  part(component: OwnComponent, precision: ComputingPrecision): Part;
  tokenizer(name: TokenizerName): TokenizerSource;
  /** Where paths in its settings start from. */
  readonly root: string;
  /** A tiny autoencoder that lies there without being named. */
  readonly tinyVae: string | undefined;
  /** The folder beside it whose text encoders it runs with, by its name; absent where it has its own. */
  readonly textEncodersOf?: string | undefined;
}

export interface TokenizerSource {
  readonly folder: string;
  /** Where the folder does not say it. */
  readonly padToken?: string;
}

/** The folder of a part in diffusers' layout, whose VAE is one for both halves. */
const checkpointFolders: Readonly<Record<OwnComponent, string>> = {
  text_encoder: 'text_encoder',
  text_encoder_2: 'text_encoder_2',
  text_encoder_3: 'text_encoder_3',
  unet: 'unet',
  transformer: 'transformer',
  vae_encoder: 'vae',
  vae_decoder: 'vae',
  safety_checker: 'safety_checker',
};

/** Of a tiny autoencoder beside the VAE. */
const tinyFolder = 'vae_tiny';

const onnxPrecisions: Readonly<Record<number, WeightPrecision>> = {
  [dataTypes.float32]: 'fp32',
  [dataTypes.float16]: 'fp16',
  [dataTypes.float64]: 'fp64',
  [dataTypes.bfloat16]: 'bf16',
};

export class FolderSource implements ModelSource {
  readonly name: string;
  readonly layout = "a folder in diffusers' layout";

  constructor(private readonly path: string) {
    this.name = basename(path);
  }

  get root(): string {
    return this.path;
  }

  get tinyVae(): string | undefined {
    return isThere(this.path, tinyFolder) ? tinyFolder : undefined;
  }

  json(file: string, schema: object, absent?: Json): Json {
    const json = readJson(this.path, file, absent);
    checkJson(file, json, schema);
    return json;
  }

  origin(file: string, key: readonly [string, ...string[]]): string | undefined {
    const value = key.reduce((at: unknown, each) => (at as Json | undefined)?.[each], readJson(this.path, file, {}));
    return (value ?? null) === null ? undefined : file;
  }

  has(component: OwnComponent): boolean {
    return isThere(this.path, component) || isThere(this.path, checkpointFolders[component]);
  }

  /** An ONNX graph goes before safetensors. */
  part(component: OwnComponent, precision: ComputingPrecision): Part {
    const file = `${component}/model.onnx`;
    const name = checkpointFolders[component];
    if (isThere(this.path, file)) return this.onnx(file);
    if (!isThere(this.path, name)) throw new ModelFolderError(`${file} is missing`);
    const weights = about(name, () => findSafetensors(this.path, name));
    if (weights === undefined)
      throw new ModelFolderError(`${file} is missing, and ${name}/ holds no safetensors either`);
    const tensors = about(weights, () => readSafetensors(this.path, weights));
    const config = `${name}/config.json`;
    const written = writePart(component, tensors, this.json(config, PartConfig), config, precision);
    return { graph: written, facts: written.facts, file: weights, weights: weightPrecisionsOf(tensors) };
  }

  tokenizer(name: TokenizerName): TokenizerSource {
    return { folder: join(this.path, name) };
  }

  private onnx(file: string): Part {
    checkFile(this.path, file);
    const graph = join(this.path, file);
    try {
      const facts = graphFacts(graph);
      return { graph, facts, file, weights: [...facts.weightTypes].map((type) => onnxPrecisions[type]!) };
    } catch (error) {
      throw new ModelFolderError(`${file} cannot be read: ${(error as Error).message}`);
    }
  }
}

/** Whatever is wrong with a file is told with its name; what is a ModelFolderError tells it by itself. */
export function about<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ModelFolderError) throw error;
    throw new ModelFolderError(`${file} cannot be read: ${(error as Error).message}`);
  }
}
