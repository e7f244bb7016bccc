// A prompt's tokens in chunks that the text encoder takes one by one, as AUTOMATIC1111's web UI makes them.
// Source: its sd_hijack_clip.py, tokenize_line, with the default comma_padding_backtrack of 20.

import type { Piece } from '../../prompt-syntax.js';
import type { Embedding } from '../embeddings/library.js';
import type { FindEmbedding } from '../embeddings/names.js';
import type { PromptTokenizer } from '../tokenizer.js';

export interface Chunk {
  /** Start, tokens, end and padding: [maxTokens]. */
  readonly ids: readonly number[];
  /** One for each of the ids; 1 for start, end and padding. */
  readonly weights: readonly number[];
  /** Where a vector of an embedding stands instead of a token. */
  readonly replaced: readonly Replaced[];
}

export interface Replaced {
  /** In the ids. */
  readonly position: number;
  readonly embedding: Embedding;
  /** Which of its vectors. */
  readonly vector: number;
}

export interface Chunks {
  /** At least one. */
  readonly chunks: readonly Chunk[];
  /** How many tokens did not fit and were left out. */
  readonly dropped: number;
}

interface Token {
  readonly id: number;
  readonly weight: number;
  readonly vector?: Omit<Replaced, 'position'>;
}

/** A token, or all vectors of an embedding that is named there. */
type Word = readonly Token[];

/** Of one prompt; 600 tokens of CLIP's. More of it is cut: a prompt's attention would outgrow that of the picture. */
const maxChunks = 8;

/** What the ids say where an embedding's vector stands. */
const placeholder = 0;

/** A chunk that is full ends after its last comma, if no more tokens than these follow it. */
const backtrack = 20;

/**
 * @param long more than one chunk; else what does not fit is cut, and `break` is no more than a space
 */
export function chunksOf(
  pieces: readonly Piece[],
  tokenizer: PromptTokenizer,
  long: boolean,
  find: FindEmbedding = () => undefined,
): Chunks {
  const words = pieces.map((piece) =>
    piece === 'break' ? piece : wordsOf(tokenizer.encode(piece.text), piece.weight, find),
  );
  const parted = long ? part(words, tokenizer) : cut(words, tokenizer.room);
  const kept = parted.slice(0, long ? maxChunks : 1);
  const dropped = parted.slice(kept.length).reduce((sum, chunk) => sum + chunk.length, 0);
  return { chunks: kept.map((chunk) => framed(chunk, tokenizer)), dropped };
}

function wordsOf(ids: readonly number[], weight: number, find: FindEmbedding): Word[] {
  const words: Word[] = [];
  for (let i = 0; i < ids.length; ) {
    const named = find(ids, i);
    if (named) {
      const { embedding } = named;
      const vectors = Array.from({ length: embedding.vectors }, (_, vector) => ({ embedding, vector }));
      words.push(vectors.map((vector) => ({ id: placeholder, weight, vector })));
    } else words.push([{ id: ids[i]!, weight }]);
    i += named?.ids.length ?? 1;
  }
  return words;
}

function cut(words: readonly (readonly Word[] | 'break')[], room: number): Token[][] {
  const all = words.flatMap((piece) => (piece === 'break' ? [] : piece.flat()));
  return [all.slice(0, room), all.slice(room)];
}

function part(words: readonly (readonly Word[] | 'break')[], { room, comma }: PromptTokenizer): Token[][] {
  const chunks: Token[][] = [];
  let chunk: Token[] = [];
  let lastComma = -1;
  const next = (begin: Token[] = []) => {
    chunks.push(chunk);
    chunk = begin;
    lastComma = -1;
  };
  for (const piece of words) {
    if (piece === 'break') {
      next();
      continue;
    }
    for (const word of piece) {
      const full = chunk.length === room;
      if (word[0]!.id === comma) lastComma = chunk.length;
      else if (full && lastComma !== -1 && chunk.length - lastComma <= backtrack) next(chunk.splice(lastComma + 1));
      if (chunk.length + word.length > room) next();
      chunk.push(...word);
    }
  }
  if (chunk.length > 0 || chunks.length === 0) next();
  return chunks;
}

function framed(tokens: readonly Token[], { frame, lead }: PromptTokenizer): Chunk {
  const ids = frame(tokens.map(({ id }) => id));
  return {
    ids,
    weights: ids.map((_, i) => tokens[i - lead]?.weight ?? 1),
    replaced: tokens.flatMap(({ vector }, i) => (vector ? [{ ...vector, position: i + lead }] : [])),
  };
}
