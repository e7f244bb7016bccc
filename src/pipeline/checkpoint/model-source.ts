// Where a model's configs, graphs and tokenizers come from: a folder in diffusers' layout, whose parts are ONNX graphs or
// safetensors, each as it comes; or a single file.

import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Json, readJson } from '../folder/configs.js';
import type { Component } from '../folder/model-folder.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import type { WrittenGraph } from '../graphs/graph-writer.js';
import { type GraphFacts, graphFacts } from '../onnx/graph-facts.js';
import { findSafetensors, readSafetensors } from '../safetensors/files.js';
import { writePart } from './written-part.js';

/** A file's path, or a graph that we write. */
export type GraphSource = string | WrittenGraph;

export interface Part {
  readonly graph: GraphSource;
  readonly facts: GraphFacts;
}

export interface ModelSource {
  readonly name: string;
  /**
   * @param file such as unet/config.json
   * @param absent what a missing one counts as
   * @throws ModelFolderError when it is missing, or no JSON object
   */
  json(file: string, absent?: Json): Json;
  has(component: Component): boolean;
  /** @throws ModelFolderError when it is missing, broken or not supported */
  part(component: Component): Part;
  tokenizer(name: 'tokenizer' | 'tokenizer_2'): TokenizerSource;
}

export interface TokenizerSource {
  readonly folder: string;
  /** Where the folder does not say it. */
  readonly padToken?: string;
}

/** The folder of a part in diffusers' layout, whose VAE is one for both halves. */
const checkpointFolders: Readonly<Record<Component, string>> = {
  text_encoder: 'text_encoder',
  text_encoder_2: 'text_encoder_2',
  unet: 'unet',
  vae_encoder: 'vae',
  vae_decoder: 'vae',
};

export class FolderSource implements ModelSource {
  readonly name: string;

  constructor(private readonly path: string) {
    this.name = basename(path);
  }

  json(file: string, absent?: Json): Json {
    return readJson(this.path, file, absent);
  }

  has(component: Component): boolean {
    return existsSync(join(this.path, component)) || existsSync(join(this.path, checkpointFolders[component]));
  }

  /** An ONNX graph goes before safetensors. */
  part(component: Component): Part {
    const graph = join(this.path, component, 'model.onnx');
    if (existsSync(graph)) return { graph, facts: onnxFacts(component, graph) };
    const name = checkpointFolders[component];
    const folder = join(this.path, name);
    const weights = existsSync(folder) ? inFolder(name, () => findSafetensors(folder)) : undefined;
    if (weights === undefined)
      throw new ModelFolderError(
        existsSync(folder)
          ? `${component}/model.onnx is missing, and ${name}/ holds no safetensors either`
          : `${component}/model.onnx is missing`,
      );
    const tensors = inFolder(`${name}/${weights}`, () => readSafetensors(folder, weights));
    const written = writePart(component, tensors, this.json(`${name}/config.json`), `${name}/config.json`);
    return { graph: written, facts: written.facts };
  }

  tokenizer(name: 'tokenizer' | 'tokenizer_2'): TokenizerSource {
    return { folder: join(this.path, name) };
  }
}

function onnxFacts(component: Component, path: string): GraphFacts {
  try {
    return graphFacts(path);
  } catch (error) {
    throw new ModelFolderError(`${component}/model.onnx cannot be read: ${(error as Error).message}`);
  }
}

/** Sentences name the file that they are about. */
function inFolder<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { message } = error as Error;
    throw new ModelFolderError(
      error instanceof ModelFolderError ? `${name}/${message}` : `${name} cannot be read: ${message}`,
    );
  }
}
