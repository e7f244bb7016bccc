// Tokens that a tokenizer finds in a text before its merges see it: start and end, a padding token that is a character, words
// of textual inversions. Source: huggingface/tokenizers, added_vocabulary.rs; transformers 4, tokenization_utils_base.py.

import { ModelFolderError, shown } from './folder/model-folder-error.js';

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Spaces before it, or after it, belong to it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Only between characters that are no part of a word. */
  readonly singleWord: boolean;
  /** Looked for in the text as the normalizer leaves it, and normalized itself. */
  readonly normalized: boolean;
}

/** Part of a text, or the token that was found there. */
export type Piece = string | AddedToken;

/** Textual inversions add tens. */
const maxTokens = 1000;

/** What the files of a tokenizer's folder say; each may be absent. */
export interface TokenFiles {
  /** `added_tokens` of tokenizer.json. */
  readonly definition: unknown;
  /** `added_tokens_decoder` of tokenizer_config.json. */
  readonly decoder: unknown;
  /** added_tokens.json. */
  readonly added: unknown;
}

/**
 * @param roles the tokens for start, end, unknown and padding
 * @param idOf the vocabulary
 * @throws ModelFolderError for what is no token
 */
export function addedTokens(
  { definition, decoder, added }: TokenFiles,
  roles: readonly string[],
  idOf: (token: string) => number | undefined,
): AddedToken[] {
  const tokens = new Map<string, AddedToken>();
  const add = (id: unknown, content: unknown, flags: Readonly<Record<string, unknown>>) => {
    if (typeof content !== 'string' || content === '' || !Number.isSafeInteger(id) || Number(id) < 0) {
      throw new ModelFolderError(`an added token of the tokenizer is ${shown(content)} with the id ${shown(id)}`);
    }
    if (tokens.size === maxTokens) throw new ModelFolderError(`the tokenizer has more than ${maxTokens} added tokens`);
    const { lstrip, rstrip, single_word, normalized } = flags;
    tokens.set(content, {
      id: Number(id),
      content,
      lstrip: lstrip === true,
      rstrip: rstrip === true,
      singleWord: single_word === true,
      normalized: normalized !== false,
    });
  };
  for (const token of Array.isArray(definition) ? definition : []) add(token?.id, token?.content, token ?? {});
  for (const [id, token] of entriesOf(decoder)) add(Number(id), token?.content, token ?? {});
  if (decoder === undefined) {
    for (const [content, id] of entriesOf(added)) add(id, content, { normalized: !roles.includes(content) });
  }
  for (const role of roles) {
    if (!tokens.has(role)) add(idOf(role), role, { normalized: role.startsWith('<|') });
  }
  return [...tokens.values()];
}

// biome-ignore lint/suspicious/noExplicitAny: each value is checked where it is added
const entriesOf = (value: unknown): [string, any][] =>
  typeof value === 'object' && value !== null ? Object.entries(value) : [];

const wordBefore = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const wordAfter = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const space = /\p{White_Space}/u;
/** UTF-16 units of one character. */
const widest = 2;

/**
 * Finds tokens in texts: the leftmost, and of those that begin there the longest.
 * @param contents what to look for, by token
 */
export function splitter(contents: ReadonlyMap<string, AddedToken>): (text: string) => Piece[] {
  /** By first character, the longest first. */
  const byStart = new Map<string, string[]>();
  for (const content of [...contents.keys()].sort((a, b) => b.length - a.length)) {
    byStart.set(content[0]!, [...(byStart.get(content[0]!) ?? []), content]);
  }
  return (text) => {
    const pieces: Piece[] = [];
    let done = 0;
    for (let i = 0; i < text.length; ) {
      const found = byStart.get(text[i]!)?.find((content) => text.startsWith(content, i));
      if (found === undefined) {
        i++;
        continue;
      }
      const token = contents.get(found)!;
      const end = i + found.length;
      const inWord =
        wordBefore.test(text.slice(Math.max(0, i - widest), i)) || wordAfter.test(text.slice(end, end + widest));
      const alone = !token.singleWord || !inWord;
      if (alone) {
        let start = i;
        while (token.lstrip && start > done && space.test(text[start - 1]!)) start--;
        if (start > done) pieces.push(text.slice(done, start));
        pieces.push(token);
        done = end;
        while (token.rstrip && done < text.length && space.test(text[done]!)) done++;
      }
      i = Math.max(end, done);
    }
    if (done < text.length) pieces.push(text.slice(done));
    return pieces;
  };
}
