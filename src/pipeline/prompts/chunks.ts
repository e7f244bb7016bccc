// A prompt's tokens in chunks that the text encoder takes one by one, as AUTOMATIC1111's web UI makes them.
// Source: its sd_hijack_clip.py, tokenize_line, with the default comma_padding_backtrack of 20.

import type { Piece } from '../../prompt-syntax.js';
import type { ClipTokenizer } from '../tokenizer.js';

export interface Chunk {
  /** Start, tokens, end and padding: [maxTokens]. */
  readonly ids: readonly number[];
  /** One for each of the ids; 1 for start, end and padding. */
  readonly weights: readonly number[];
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
}

/** Of one prompt; 600 tokens of CLIP's. More of it is cut: a prompt's attention would outgrow that of the picture. */
export const maxChunks = 8;

/** A chunk that is full ends after its last comma, if no more tokens than these follow it. */
const backtrack = 20;

/**
 * @param long more than one chunk; else what does not fit is cut, and `break` is no more than a space
 */
export function chunksOf(pieces: readonly Piece[], tokenizer: ClipTokenizer, long: boolean): Chunks {
  const tokens = pieces.map((piece) =>
    piece === 'break' ? piece : tokenizer.encode(piece.text).map((id): Token => ({ id, weight: piece.weight })),
  );
  const parted = long ? part(tokens, tokenizer) : cut(tokens, tokenizer.room);
  const kept = parted.slice(0, long ? maxChunks : 1);
  const dropped = parted.slice(kept.length).reduce((sum, chunk) => sum + chunk.length, 0);
  return { chunks: kept.map((chunk) => framed(chunk, tokenizer)), dropped };
}

function cut(tokens: readonly (readonly Token[] | 'break')[], room: number): Token[][] {
  const all = tokens.flatMap((piece) => (piece === 'break' ? [] : piece));
  return [all.slice(0, room), all.slice(room)];
}

function part(tokens: readonly (readonly Token[] | 'break')[], { room, comma }: ClipTokenizer): Token[][] {
  const chunks: Token[][] = [];
  let chunk: Token[] = [];
  let lastComma = -1;
  const next = (begin: Token[] = []) => {
    chunks.push(chunk);
    chunk = begin;
    lastComma = -1;
  };
  for (const piece of tokens) {
    if (piece === 'break') {
      next();
      continue;
    }
    for (const token of piece) {
      const full = chunk.length === room;
      if (token.id === comma) lastComma = chunk.length;
      else if (full && lastComma !== -1 && chunk.length - lastComma <= backtrack) next(chunk.splice(lastComma + 1));
      if (chunk.length === room) next();
      chunk.push(token);
    }
  }
  if (chunk.length > 0 || chunks.length === 0) next();
  return chunks;
}

function framed(tokens: readonly Token[], { frame }: ClipTokenizer): Chunk {
  const ids = frame(tokens.map(({ id }) => id));
  return { ids, weights: ids.map((_, i) => tokens[i - 1]?.weight ?? 1) };
}
