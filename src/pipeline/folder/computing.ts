// What the graphs of a model compute in, and what decided it.
// Source of the VAE's part: diffusers, pipelines/stable_diffusion_xl, upcast_vae, which the pipelines of Stable Diffusion 1 and 2 lack.

import type { ComputingPrecision, Precision, Provider } from '../../model-facts.js';
import { type Decided, firstOf } from '../checkpoint/decided.js';
import type { Part } from '../checkpoint/model-source.js';
import type { Family } from '../families/family.js';
import { dataTypes } from '../onnx/graph-file.js';
import type { Component } from './components.js';
import type { Json } from './configs.js';
import { ModelFolderError } from './model-folder-error.js';
import type { Settings } from './schemas.js';

/** An NVIDIA GPU has units for half precision, a CPU has none; what others have depends on the adapter. */
export const computesBest: Readonly<Record<Provider, ComputingPrecision>> = {
  cpu: 'fp32',
  cuda: 'fp16',
  webgpu: 'fp32',
  coreml: 'fp32',
  dml: 'fp32',
};

/** The key `precision` calls both halves of the VAE by one name. */
function settingsName(component: Component) {
  if (component === 'vae_encoder' || component === 'vae_decoder') return 'vae';
  return component === 'tiny_decoder' ? 'tiny_vae' : component;
}

export interface ComputingFacts {
  readonly settings: Settings;
  readonly family: Pick<Family, 'upcastsVae' | 't5'>;
  /** config.json of the VAE */
  readonly vae: Json;
  /** Where nothing else is said. */
  readonly best: ComputingPrecision;
}

/** What a part is to compute in, where its graph is ours to write. */
export function computingOf(
  component: Component,
  { settings: { precision }, family: { upcastsVae, t5 }, vae, best }: ComputingFacts,
): Decided<ComputingPrecision> {
  const name = settingsName(component);
  const each = typeof precision === 'object' && name !== 'safety_checker' ? precision?.[name] : undefined; // null counts as absent
  const upcast = name === 'vae' && upcastsVae && vae._class_name !== 'AutoencoderTiny';
  const isT5 = component === t5?.component;
  return firstOf<ComputingPrecision>(
    [typeof precision === 'string' && !isT5 ? precision : each, 'precision in img2img.json'],
    [isT5 ? 'fp32' : undefined, 'the range of T5, which half floats do not have'],
    [upcast && vae.force_upcast !== false ? 'fp32' : undefined, 'force_upcast of the VAE'],
    [best, `the default on a ${best === 'fp16' ? 'GPU' : 'CPU'}`],
  );
}

/** @throws ModelFolderError for a precision of what is not there, or of graphs that were exported and keep their own */
export function checkPrecision({ precision }: Settings, parts: ReadonlyMap<Component, Part>): void {
  if (typeof precision !== 'string' && Object.keys(precision ?? {}).length === 0) return; // null counts as absent
  const graphs = [...parts].map(([component, { graph }]) => ({ name: settingsName(component), graph }));
  const asked = typeof precision === 'string' ? graphs.map(({ name }) => name) : Object.keys(precision!);
  const missing = asked.find((name) => !graphs.some((each) => each.name === name));
  if (missing !== undefined) {
    throw new ModelFolderError(`img2img.json has precision.${missing}, and the model has no ${missing}`);
  }
  const isWritten = (name: string) => graphs.some((each) => each.name === name && typeof each.graph === 'object');
  const exported = asked.filter((name) => !isWritten(name));
  const ours = typeof precision === 'object' && exported.length > 0 ? exported[0] : undefined;
  const told = ours !== undefined ? `precision.${ours}` : exported.length === asked.length ? 'precision' : undefined;
  if (told === undefined) return;
  throw new ModelFolderError(
    `img2img.json has ${told}, which is for safetensors; an exported ONNX graph computes in the precision that it was exported in`,
  );
}

/** What a part computes in. @param asked of a graph that is ours */
export function computesOf({ graph, facts }: Part, asked: ComputingPrecision): Precision {
  if (typeof graph === 'object') return asked;
  const types = facts.computes.size > 0 ? facts.computes : facts.weightTypes;
  const half = types.has(dataTypes.float16) || types.has(dataTypes.bfloat16);
  const full = types.has(dataTypes.float32) || types.has(dataTypes.float64);
  return half ? (full ? 'mixed' : 'fp16') : 'fp32';
}

export const together = (parts: readonly Precision[]): Precision =>
  parts.every((each) => each === parts[0]) ? (parts[0] ?? 'fp32') : 'mixed';
