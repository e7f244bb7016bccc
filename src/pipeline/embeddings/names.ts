// Where a prompt names an embedding: by the tokens of its name, as AUTOMATIC1111's web UI finds it (textual_inversion.py,
// find_embedding_at_position). So a name is whole words, in whatever letters, and of two that begin alike the longer one counts.

import type { PromptTokenizer } from '../tokenizer.js';
import type { Embedding, EmbeddingLibrary } from './library.js';

interface Named {
  readonly ids: readonly number[];
  readonly embedding: Embedding;
}

/** @returns the embedding that is named from this position on, and by how many tokens */
export type FindEmbedding = (ids: readonly number[], position: number) => Named | undefined;

/** Of a tokenizer, with the stamp of the library that it was made of. */
const finders = new WeakMap<PromptTokenizer, { readonly stamp: string; readonly find: FindEmbedding }>();

export function embeddingFinder(library: EmbeddingLibrary, tokenizer: PromptTokenizer): FindEmbedding {
  const known = finders.get(tokenizer);
  if (known?.stamp === library.stamp) return known.find;
  const byFirst = new Map<number, Named[]>();
  for (const embedding of library.embeddings) {
    const ids = tokenizer.encode(embedding.name);
    byFirst.set(ids[0]!, [...(byFirst.get(ids[0]!) ?? []), { ids, embedding }]);
  }
  for (const named of byFirst.values()) named.sort((a, b) => b.ids.length - a.ids.length);
  const find: FindEmbedding = (ids, position) =>
    byFirst.get(ids[position]!)?.find((named) => named.ids.every((id, i) => id === ids[position + i]));
  finders.set(tokenizer, { stamp: library.stamp, find });
  return find;
}
