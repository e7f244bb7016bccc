// A part of a model: what it is read from, what was decided of it, and what it takes in memory.

import { statSync } from 'node:fs';
import type { ComputingPrecision, PartFacts, Provider } from '../../model-facts.js';
import type { Decided } from '../checkpoint/decided.js';
import type { ModelSource, OwnComponent, Part } from '../checkpoint/model-source.js';
import type { Component } from './components.js';
import { computesOf } from './computing.js';
import { ModelFolderError } from './model-folder-error.js';

export interface DecidedPart extends PartFacts {
  /** What holds its weights. */
  readonly file: string;
  /** What decided the precision that it computes in; for people. */
  readonly computesFrom: string;
}

/** @throws ModelFolderError as the source does, and for a graph that the provider cannot run */
export function partOf(
  source: ModelSource,
  component: OwnComponent,
  provider: Provider,
  precision: ComputingPrecision,
): Part {
  const part = source.part(component, precision);
  if (provider !== 'cuda' && part.facts.cudaOnly.length > 0) {
    throw new ModelFolderError(
      `${component}/model.onnx was optimised for CUDA (it has ${part.facts.cudaOnly.join(', ')}), and this server runs on ${provider === 'cpu' ? 'the CPU' : provider}; use an NVIDIA GPU or the export before the optimisation`,
    );
  }
  return part;
}

export function decided(component: Component, part: Part, { value, from }: Decided<ComputingPrecision>): DecidedPart {
  const { graph, file, weights } = part;
  const ours = typeof graph === 'object';
  return {
    ...{ part: component, format: ours ? 'safetensors' : 'onnx', weights, file },
    computes: computesOf(part, value),
    computesFrom: ours ? from : 'its graph',
  };
}

/**
 * Bytes that its weights take once they are loaded. A CPU computes in float32: onnxruntime casts an exported graph's half floats
 * when it loads them, and keeps what they become.
 */
export function loadedBytes({ graph, facts }: Part, provider: Provider): number {
  if (typeof graph === 'object') return graph.weightBytes;
  const stored = facts.files.reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
  return provider !== 'cuda' ? stored + facts.halfBytes : stored;
}
