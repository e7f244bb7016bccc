// A textual inversion in a safetensors file: vectors that stand in the place of tokens' embeddings (Gal et al. 2022). The file
// comes from strangers: its header is checked, and its vectors are read only where a prompt names it.

import { closeSync, openSync } from 'node:fs';
import { readHeader, type TensorPlace } from '../safetensors/header.js';
import { numbersOf } from '../safetensors/numbers.js';

/** The text encoders that a tensor is for; `only` is that of a model which has one. */
export type EncoderRole = 'only' | 'clip_l' | 'clip_g';

export interface EmbeddingFile {
  /** How many tokens it takes the place of. */
  readonly vectors: number;
  readonly places: ReadonlyMap<EncoderRole, { readonly tensor: TensorPlace; readonly width: number }>;
}

/** Three times of what a file of SDXL takes with as many vectors as fit a prompt. */
const largest = { file: 4 * 2 ** 20, header: 2 ** 16, vectors: 75, width: 8192 } as const;
const floats = ['F32', 'F16', 'BF16', 'F64'];

/**
 * Layouts: `emb_params` (AUTOMATIC1111), one tensor named by its token (diffusers), `clip_l` and `clip_g` (SDXL).
 * @param bytes of the file
 * @throws RangeError with a sentence without its end
 */
export function readEmbedding(path: string, bytes: number): EmbeddingFile {
  if (bytes > largest.file) throw new RangeError(`it has ${bytes} bytes; at most ${largest.file} are read`);
  const { tensors } = readHeader(path, largest.header);
  const [only] = tensors.values();
  const [clipL, clipG] = [tensors.get('clip_l'), tensors.get('clip_g')];
  const places = new Map<EncoderRole, { tensor: TensorPlace; width: number; vectors: number }>();
  if (clipL) places.set('clip_l', shapeOf('clip_l', clipL));
  if (clipG) places.set('clip_g', shapeOf('clip_g', clipG));
  const emb = tensors.get('emb_params') ?? (tensors.size === 1 && places.size === 0 ? only : undefined);
  if (emb) places.set('only', shapeOf('emb_params', emb));
  const [first, ...others] = places.values();
  if (!first) {
    throw new RangeError(
      'it is no textual inversion: it has neither emb_params, nor clip_l or clip_g, nor a single tensor named by its token',
    );
  }
  if (others.some(({ vectors }) => vectors !== first.vectors)) {
    throw new RangeError('its clip_l and clip_g have different numbers of vectors');
  }
  return { vectors: first.vectors, places };
}

/** @returns [vectors, width] @throws RangeError for a file that has changed meanwhile */
export function vectorsOf(tensor: TensorPlace): Float32Array {
  const descriptor = openSync(tensor.file, 'r');
  try {
    return numbersOf(descriptor, tensor);
  } finally {
    closeSync(descriptor);
  }
}

function shapeOf(name: string, tensor: TensorPlace) {
  const { shape, dtype } = tensor;
  const [vectors, width] = shape.length === 1 ? [1, shape[0]!] : [shape[0]!, shape[1]!];
  if (!floats.includes(dtype)) {
    throw new RangeError(`its ${name} is ${dtype}, which is not supported (supported: ${floats.join(', ')})`);
  }
  if (shape.length < 1 || shape.length > 2 || vectors < 1 || width < 1 || width > largest.width) {
    throw new RangeError(`its ${name} is [${shape}]; it must be [vectors, width]`);
  }
  if (vectors > largest.vectors) {
    throw new RangeError(`its ${name} has ${vectors} vectors; at most ${largest.vectors} fit a prompt`);
  }
  return { tensor, width, vectors };
}
