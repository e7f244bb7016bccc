// The safety checker in a model's folder: as safetensors, whose graph is ours, or as diffusers' old ONNX export, whose graph gives
// the verdict by itself (convert_stable_diffusion_checkpoint_to_onnx.py: clip_input, images -> out_images, has_nsfw_concepts).

import { closeSync, openSync } from 'node:fs';
import type { ModelSource, Part } from '../checkpoint/model-source.js';
import { type Json, number } from '../folder/configs.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { pictureInput } from '../graphs/clip-vision.js';
import type { GraphFacts } from '../onnx/graph-facts.js';
import type { TensorPlace } from '../safetensors/header.js';
import { numbersOf } from '../safetensors/numbers.js';
import { type ImageProcessor, imageProcessor, processorFile } from './clip-image-processor.js';
import type { Concept, Concepts } from './verdict.js';

export interface SafetyChecker {
  readonly processor: ImageProcessor;
  /** What its graph's embeddings are compared with; absent where the graph does that. */
  readonly concepts: Concepts | undefined;
}

/** The exported graph's own input and output. */
export const exported = { pictures: 'images', verdict: 'has_nsfw_concepts' } as const;

/**
 * @param part its graph
 * @throws ModelFolderError for one that cannot be used
 */
export function safetyChecker(source: ModelSource, { graph, facts }: Part): SafetyChecker {
  const concepts = typeof graph === 'object' ? conceptsOf(graph.tensors) : undefined;
  if (!concepts && !facts.outputs.has(exported.verdict)) {
    throw new ModelFolderError(`safety_checker/model.onnx has no output ${exported.verdict}`);
  }
  const processor = imageProcessor(source.json(processorFile, {}, {}) as Json, sideOf(facts));
  return { processor, concepts };
}

function sideOf({ inputs }: GraphFacts): number | undefined {
  return number(inputs.get(pictureInput)?.shape?.[2]);
}

function conceptsOf(tensors: ReadonlyMap<string, TensorPlace>): Concepts {
  const [bad, specialCare] = ['concept_embeds', 'special_care_embeds'].map((name) => conceptsIn(tensors, name));
  return { bad: bad!, specialCare: specialCare! };
}

/** Concepts of one file are counted in tens. */
const mostConcepts = 1000;

function conceptsIn(tensors: ReadonlyMap<string, TensorPlace>, name: string): readonly Concept[] {
  const [embeds, thresholds] = [name, `${name}_weights`].map((each) => tensors.get(each));
  const width = tensors.get('visual_projection.weight')?.shape[0] ?? 0;
  const count = thresholds?.shape[0] ?? 0;
  const fits = embeds?.shape.length === 2 && embeds.shape[1] === width && thresholds?.shape.length === 1;
  if (!embeds || !thresholds || !fits || embeds.shape[0] !== count || count > mostConcepts) {
    const told = [embeds, thresholds].map((each) => (each ? `[${each.shape}]` : 'missing'));
    throw new ModelFolderError(
      `safety_checker: its weights ${name} and ${name}_weights are ${told.join(' and ')}; they must be [n, ${width}] and [n]`,
    );
  }
  const [values, limits] = [valuesOf(embeds), valuesOf(thresholds)];
  return Array.from({ length: count }, (_, i) => ({
    embeds: values.subarray(i * width, (i + 1) * width),
    threshold: limits[i]!,
  }));
}

function valuesOf(place: TensorPlace): Float32Array {
  const descriptor = openSync(place.file, 'r');
  try {
    return numbersOf(descriptor, place);
  } catch (error) {
    throw new ModelFolderError(`safety_checker cannot be read: ${(error as Error).message}`);
  } finally {
    closeSync(descriptor);
  }
}
