// Which embeddings a model can take, and what its text encoders are given of them.

import type { TextEncoder } from '../folder/components.js';
import type { Model } from '../model.js';
import { tokenInputs } from '../onnx/patch.js';
import type { Row } from '../onnx/rows.js';
import type { Chunk } from '../prompts/chunks.js';
import { type EncoderRole, vectorsOf } from './embedding-file.js';
import type { Embedding } from './library.js';

type EncodingModel = Pick<Model, 'folder' | 'sessions' | 'tokenizers'>;

/** True where each of the text encoders takes vectors, and the file has some of its width, which are not too many. */
export function fits(model: EncodingModel, embedding: Embedding): boolean {
  return model.folder.textEncoders.every(({ component, tokenizer }) => {
    const session = model.sessions[component]!;
    const width = session.takes(tokenInputs.vectors) ? session.shapeOf(tokenInputs.vectors)[2] : undefined;
    return (
      width !== undefined &&
      placeOf(model, component, embedding)?.width === width &&
      embedding.vectors <= model.tokenizers[tokenizer]!.room
    );
  });
}

/**
 * The inputs of a text encoder beside the ids, where its graph has them.
 * @param chunk whose embeddings fit
 */
export function vectorInputs(
  model: EncodingModel,
  component: TextEncoder,
  { ids, replaced }: Chunk,
): Readonly<Record<string, Row>> {
  const session = model.sessions[component]!;
  if (!session.takes(tokenInputs.vectors)) return {};
  const width = Number(session.shapeOf(tokenInputs.vectors)[2]);
  const kept = new Float32Array(ids.length).fill(1);
  const vectors = new Float32Array(ids.length * width);
  const read = new Map<Embedding, Float32Array>();
  for (const { position, embedding, vector } of replaced) {
    const own = read.get(embedding) ?? vectorsOf(placeOf(model, component, embedding)!.tensor);
    read.set(embedding, own);
    kept[position] = 0;
    vectors.set(own.subarray(vector * width, (vector + 1) * width), position * width);
  }
  return {
    [tokenInputs.kept]: { data: kept, dims: [ids.length, 1] },
    [tokenInputs.vectors]: { data: vectors, dims: [ids.length, width] },
  };
}

function placeOf({ folder }: EncodingModel, component: TextEncoder, { places }: Embedding) {
  const roles: readonly EncoderRole[] =
    component === 'text_encoder_2' ? ['clip_g'] : folder.textEncoders.length > 1 ? ['clip_l'] : ['only', 'clip_l'];
  return roles.map((role) => places.get(role)).find((place) => place !== undefined);
}
