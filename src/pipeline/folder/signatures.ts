// The inputs and outputs that a folder's graphs must have, and which exporter's habits they show.

import type { Family } from '../families/family.js';
import type { GraphFacts } from '../onnx/graph-facts.js';
import { dataTypes, type ValueInfo } from '../onnx/graph-file.js';
import { tokenInputs } from '../onnx/patch.js';
import type { Component } from './components.js';
import { ModelFolderError } from './model-folder-error.js';

/** Names by which exporters call one and the same input; the first is diffusers'. */
export const aliases = {
  input_ids: ['input_ids'],
  starter: ['sample', 'images'],
  latents: ['latent_sample', 'latent'],
} as const;

const known: Readonly<Record<Component, { required: readonly (readonly string[])[]; optional: readonly string[] }>> = {
  text_encoder: { required: [aliases.input_ids], optional: Object.values(tokenInputs) },
  text_encoder_2: { required: [aliases.input_ids], optional: Object.values(tokenInputs) },
  text_encoder_3: { required: [aliases.input_ids], optional: [] },
  unet: {
    required: [['sample'], ['timestep'], ['encoder_hidden_states']],
    optional: ['timestep_cond', 'text_embeds', 'time_ids'],
  },
  transformer: {
    required: [['hidden_states'], ['timestep'], ['encoder_hidden_states'], ['pooled_projections']],
    optional: [],
  },
  vae_encoder: { required: [aliases.starter], optional: [] },
  vae_decoder: { required: [aliases.latents], optional: [] },
  tiny_decoder: { required: [aliases.latents], optional: [] },
  safety_checker: { required: [['clip_input']], optional: ['images'] },
};

/** Of a transformer that takes tokens, which need their places. */
const tokenTransformer = {
  required: [...known.transformer.required, ['img_ids'], ['txt_ids']],
  optional: ['guidance'],
};

const typeNames: Readonly<Record<number, string>> = {
  0: 'no tensor',
  2: 'uint8',
  3: 'int8',
  5: 'int16',
  8: 'string',
  9: 'bool',
  ...Object.fromEntries(Object.entries(dataTypes).map(([name, number]) => [number, name])),
};

/** @throws ModelFolderError for the first input or output that could not be served */
export function checkSignatures(
  facts: Readonly<Partial<Record<Component, GraphFacts>>>,
  latents: Family['latents'],
): void {
  for (const [component, { inputs, outputs }] of Object.entries(facts) as [Component, GraphFacts][]) {
    const { required, optional } =
      component === 'transformer' && latents === 'tokens' ? tokenTransformer : known[component];
    const missing = required.find((names) => !names.some((name) => inputs.has(name)));
    if (missing) throw new ModelFolderError(`${component} has no input ${missing[0]}`);
    const names = [...required.flat(), ...optional];
    const unknown = [...inputs.keys()].filter((name) => !names.includes(name));
    if (unknown.length > 0) {
      throw new ModelFolderError(`${component} wants an input that is not supported: ${unknown.join(', ')}`);
    }
    for (const input of inputs.values()) checkInput(component, input);
    const output = outputs.values().next().value;
    if (!output) throw new ModelFolderError(`${component} gives no output`);
    if (output.dataType !== dataTypes.float32 && output.dataType !== dataTypes.float16) {
      throw new ModelFolderError(
        `${component} gives ${output.name} as ${typeName(output)}, which is not supported (supported: float32, float16)`,
      );
    }
  }
}

const floats = ['float32', 'float16', 'float64'] as const;
const integers = ['int64', 'int32'] as const;
/** Inputs that are not floats, or not only. */
const inputTypes: Readonly<Record<string, readonly (keyof typeof dataTypes)[]>> = {
  input_ids: integers,
  timestep: [...floats, ...integers],
  time_ids: [...floats, ...integers],
  img_ids: [...floats, ...integers],
  txt_ids: [...floats, ...integers],
};

function checkInput(component: Component, input: ValueInfo): void {
  const types = inputTypes[input.name] ?? floats;
  if (!types.some((type) => dataTypes[type] === input.dataType)) {
    throw new ModelFolderError(
      `${component} wants its input ${input.name} as ${typeName(input)}, which is not supported (supported: ${types.join(', ')})`,
    );
  }
  const isList = /_ids$/.test(input.name) && input.shape?.length === 2 && input.shape[1] === 3; // without a batch axis
  const rows = isList ? undefined : input.shape?.[0];
  if (typeof rows === 'number' && rows > 1) {
    throw new ModelFolderError(
      `${component} takes exactly ${rows} rows of ${input.name}; export it with a dynamic batch axis`,
    );
  }
}

const typeName = ({ dataType }: ValueInfo) => typeNames[dataType] ?? `data type ${dataType}`;

/** Told in /models; it decides nothing. */
export type Exporter =
  | 'img2img'
  | 'diffusers script'
  | 'optimum before 1.24'
  | 'optimum-onnx'
  | 'onnxruntime demo'
  | 'other';

/** By what each of them does alone (their sources: convert_stable_diffusion_checkpoint_to_onnx.py, model_configs.py, diffusion_models.py). */
export function exporterOf(denoiser: GraphFacts, vae_encoder: GraphFacts): Exporter {
  const { dataType, shape } = denoiser.inputs.get('timestep')!;
  if (shape?.[0] === 'step') return 'optimum-onnx';
  if (vae_encoder.inputs.has('images') || shape?.[0] === 1) return 'onnxruntime demo';
  if (shape?.length === 0) return 'optimum-onnx';
  if (dataType === dataTypes.int64) return 'optimum before 1.24';
  return vae_encoder.outputs.has('latent_sample') ? 'diffusers script' : 'other';
}
