// The decoder of a tiny autoencoder (TAESD) beside a model's own VAE: as diffusers has it, or a file with the names of the original.
// Source of those: github.com/madebyollin/taesd, whose decoder counts the clamp before its first layer.

import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ComputingPrecision } from '../../model-facts.js';
import { type Json, number, readJson } from '../folder/configs.js';
import { checkFile, isThere, staysInside } from '../folder/files.js';
import { ModelFolderError, shown } from '../folder/model-folder-error.js';
import { findSafetensors, readSafetensors } from '../safetensors/files.js';
import type { TensorPlace } from '../safetensors/header.js';
import { fileExtension } from './file-names.js';
import { about, type Part } from './model-source.js';
import { tinyDecoderJson } from './shapes.js';
import { type Tensors, weightPrecisionsOf, writePart } from './written-part.js';

export interface TinyDecoder {
  readonly part: Part;
  readonly channels: number;
  /** How often it doubles sides. */
  readonly doublings: number;
  /** It takes the UNet's latents divided by this. */
  readonly scalingFactor: number;
}

/**
 * @param root that the name starts from
 * @param name of a folder with config.json, or of a safetensors file
 * @throws ModelFolderError when it is missing, broken or something else
 */
export function tinyDecoder(root: string, name: string, precision: ComputingPrecision): TinyDecoder {
  if (!staysInside(name)) {
    throw new ModelFolderError(`img2img.json has tiny_vae.path ${shown(name)}, which leads out of the model's folder`);
  }
  if (!isThere(root, name)) throw new ModelFolderError(`${name}, the tiny autoencoder, is missing`);
  const { file, tensors, config, configFile } = statSync(join(root, name)).isDirectory()
    ? folder(root, name)
    : single(root, name);
  const written = writePart('tiny_decoder', tensors, config, configFile, precision);
  return {
    part: { graph: written, facts: written.facts, file, weights: weightPrecisionsOf(tensors) },
    channels: config.latent_channels ?? 4,
    doublings: config.decoder_block_out_channels.length - 1,
    scalingFactor: number(config.scaling_factor) ?? 1,
  };
}

interface Found {
  readonly file: string;
  readonly tensors: Tensors;
  readonly config: Json;
  readonly configFile: string;
}

function folder(root: string, name: string): Found {
  const configFile = `${name}/config.json`;
  const config = readJson(root, configFile);
  if (config._class_name !== 'AutoencoderTiny') {
    throw new ModelFolderError(`${configFile} has the class ${shown(config._class_name)}; it must be AutoencoderTiny`);
  }
  const file = about(name, () => findSafetensors(root, name));
  if (file === undefined) throw new ModelFolderError(`${name}/ holds no safetensors`);
  return { file, configFile, config, tensors: about(file, () => readSafetensors(root, file)) };
}

function single(root: string, name: string): Found {
  if (!name.endsWith(fileExtension)) throw new ModelFolderError(`${name}, the tiny autoencoder, is no .safetensors`);
  checkFile(root, name);
  const tensors = renamed(about(name, () => readSafetensors(root, name)));
  if (![...tensors.keys()].some((key) => key.startsWith('decoder.layers.'))) {
    throw new ModelFolderError(`${name} holds no decoder of a tiny autoencoder`);
  }
  return { file: name, configFile: basename(name), config: tinyDecoderJson(tensors), tensors };
}

function renamed(tensors: Tensors): Tensors {
  return new Map(
    [...tensors].map(([key, place]): [string, TensorPlace] => {
      const [, layer, rest] = /^(\d+)\.(.+)$/.exec(key) ?? [];
      return [layer === undefined ? key : `decoder.layers.${Number(layer) - 1}.${rest}`, place];
    }),
  );
}
