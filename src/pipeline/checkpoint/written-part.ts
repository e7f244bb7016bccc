// The graph of a part that comes as weights and a config.

import type { ComputingPrecision, WeightPrecision } from '../../model-facts.js';
import type { Component } from '../folder/components.js';
import type { Json } from '../folder/configs.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { writeKlDecoder, writeKlEncoder } from '../graphs/autoencoder-kl.js';
import { writeTinyDecoder, writeTinyEncoder } from '../graphs/autoencoder-tiny.js';
import { writeClipText } from '../graphs/clip-text.js';
import { writeClipVision } from '../graphs/clip-vision.js';
import { writeFluxTransformer } from '../graphs/flux-transformer.js';
import type { WrittenGraph } from '../graphs/graph-writer.js';
import { writeJointTransformer } from '../graphs/joint-transformer.js';
import type { WeightChanges } from '../graphs/low-rank.js';
import { writeT5Encoder } from '../graphs/t5-encoder.js';
import { writeUNet } from '../graphs/unet.js';
import { Weights } from '../graphs/weights.js';
import type { Dtype, TensorPlace } from '../safetensors/header.js';
import { clipTextConfig, clipVisionConfig, klConfig, tinyConfig, unetConfig } from './part-configs.js';
import { refuseQuantised } from './quantised.js';
import { fluxTransformerConfig, jointTransformerConfig, t5EncoderConfig } from './transformer-configs.js';

export type Tensors = ReadonlyMap<string, TensorPlace>;

/** A graph that we write, what of, and the same in other ways. */
export interface WrittenPart extends WrittenGraph {
  readonly tensors: Tensors;
  /** With changed weights. */
  with(changes: WeightChanges): WrittenPart;
  /** With inputs for LoRAs, where it is a UNet or a text encoder that computes in fp32. */
  withBranches(): WrittenPart;
}

interface Ways {
  readonly changes?: WeightChanges;
  readonly branched?: boolean;
}

const precisionOf: Readonly<Partial<Record<Dtype, WeightPrecision>>> = {
  F64: 'fp64',
  F32: 'fp32',
  F16: 'fp16',
  BF16: 'bf16',
};

/** Of a part's weights, the one that most of them have first. */
export function weightPrecisionsOf(tensors: Tensors): readonly WeightPrecision[] {
  const counts = new Map<WeightPrecision, number>();
  for (const { dtype } of tensors.values()) {
    const precision = precisionOf[dtype] ?? 'other';
    counts.set(precision, (counts.get(precision) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([precision]) => precision);
}

/**
 * @param tensors by the names that diffusers and transformers give them
 * @param file of the config, for sentences
 * @throws ModelFolderError when the weights are not those of the config, or the config is of something else
 */
export function writePart(
  component: Component,
  tensors: Tensors,
  config: Json,
  file: string,
  precision: ComputingPrecision,
  { changes, branched = false }: Ways = {},
): WrittenPart {
  refuseQuantised(component, tensors);
  const graph = writeGraph(component, new Weights(tensors, changes), config, file, precision, branched);
  const again = (ways: Ways) => writePart(component, tensors, config, file, precision, ways);
  return {
    ...graph,
    tensors,
    with: (other) => again({ changes: other }),
    withBranches: () => again({ branched: precision === 'fp32' }),
  };
}

function writeGraph(
  component: Component,
  weights: Weights,
  config: Json,
  file: string,
  precision: ComputingPrecision,
  branched: boolean,
): WrittenGraph {
  try {
    switch (component) {
      case 'unet':
        return writeUNet(weights, unetConfig(config, file), precision, branched);
      case 'transformer':
        if (config._class_name === 'FluxTransformer2DModel') {
          return writeFluxTransformer(weights, fluxTransformerConfig(config, file), precision);
        }
        return writeJointTransformer(weights, jointTransformerConfig(config, file), precision);
      case 'text_encoder':
      case 'text_encoder_2':
      case 'text_encoder_3': {
        if (config.model_type === 't5') return writeT5Encoder(weights, t5EncoderConfig(config, file), precision);
        const projects = weights.has('text_projection.weight') || weights.has('text_projection');
        return writeClipText(weights, clipTextConfig(config, file, projects), precision, branched);
      }
      case 'vae_encoder':
        return vaeEncoder(weights, config, file, precision);
      case 'vae_decoder':
      case 'tiny_decoder':
        return vaeDecoder(weights, config, file, precision);
      case 'safety_checker':
        return safetyChecker(weights, config, file, precision);
    }
  } catch (error) {
    // The config's sentences name their file themselves.
    if (!(error instanceof ModelFolderError) || error.message.startsWith(file)) throw error;
    throw new ModelFolderError(`${file.split('/')[0]}: ${error.message}`);
  }
}

function vaeEncoder(weights: Weights, config: Json, file: string, precision: ComputingPrecision): WrittenGraph {
  const graph = isTiny(config, file)
    ? writeTinyEncoder(weights, tinyConfig(config, file), precision)
    : writeKlEncoder(weights, klConfig(config, file), precision);
  weights.checkAllUsed(/^(decoder|post_quant_conv)\./);
  return graph;
}

function vaeDecoder(weights: Weights, config: Json, file: string, precision: ComputingPrecision): WrittenGraph {
  const graph = isTiny(config, file)
    ? writeTinyDecoder(weights, tinyConfig(config, file), precision)
    : writeKlDecoder(weights, klConfig(config, file), precision);
  weights.checkAllUsed(/^(encoder|quant_conv)\./);
  return graph;
}

/** The vision model of it: what pictures are compared with is no part of the graph. */
function safetyChecker(weights: Weights, config: Json, file: string, precision: ComputingPrecision): WrittenGraph {
  const graph = writeClipVision(weights, 'vision_model.vision_model', clipVisionConfig(config, file), precision);
  weights.checkAllUsed(/position_ids$|^(concept|special_care)_embeds(_weights)?$/);
  return graph;
}

function isTiny({ _class_name: name = 'AutoencoderKL' }: Json, file: string): boolean {
  if (name === 'AutoencoderTiny' || name === 'AutoencoderKL') return name === 'AutoencoderTiny';
  throw new ModelFolderError(
    `${file} has the class ${JSON.stringify(name)}, which is not supported (supported: AutoencoderKL, AutoencoderTiny)`,
  );
}
