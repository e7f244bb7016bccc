// CLIP's tokenizer: text -> ids, as transformers' fast tokenizer gives them. Reads tokenizer.json, or
// vocab.json and merges.txt, which it turns into the same; the vocabulary follows from the merges where it is left out.

import { basename, dirname } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { type AddedToken, addedTokens, splitter } from './added-tokens.js';
import { alike, clipDefinition } from './clip-definition.js';
import { clipFolder, vocabularyOf } from './clip-vocabulary.js';
import { type Json, number, readJson } from './folder/configs.js';
import { isThere, readText } from './folder/files.js';
import { ModelFolderError, shown } from './folder/model-folder-error.js';

/** Of one text encoder. */
export interface PromptTokenizer {
  /** All of a text's, without what frames them. */
  encode(text: string): number[];
  /** Start (not of T5's), these, end and padding. @param ids at most as many as there is room for @returns [maxTokens] */
  frame(ids: readonly number[]): number[];
  /** How many ids fit beside start and end. */
  readonly room: number;
  /** How many ids the frame has before them. */
  readonly lead: number;
  /** The id of a comma that is a word of its own. */
  readonly comma: number | undefined;
}

/** Of one of its files; CLIP's largest has 3.6 MB. */
const maxFileBytes = 32 * 2 ** 20;
/** Start, end and one more. */
const minTokens = 3;

/**
 * @param folder the model's tokenizer/ folder
 * @param maxTokens what the text encoder takes at most, the start and end tokens included
 * @param padToken where the folder does not say it
 * @throws ModelFolderError for files that are missing, cut, or no tokenizer's
 */
export function loadTokenizer(folder: string, maxTokens: number, padToken = '<|endoftext|>'): PromptTokenizer {
  const config = readPart(folder, 'tokenizer_config.json', {});
  const special = readPart(folder, 'special_tokens_map.json', {});
  const { tokenizer, listed } = readTokenizer(folder);
  const tokenOf = (role: string, fallback: string): string => {
    const token = config[role] ?? special[role] ?? fallback;
    return typeof token === 'string' ? token : String(token?.content);
  };
  const bos = tokenOf('bos_token', '<|startoftext|>');
  const eos = tokenOf('eos_token', '<|endoftext|>');
  const pad = tokenOf('pad_token', padToken);
  const files = {
    definition: listed,
    decoder: config.added_tokens_decoder ?? undefined,
    added: readPart(folder, 'added_tokens.json', {}),
  };
  const known = (token: string) => tokenizer.token_to_id(token);
  const missing = [bos, eos, pad].find((token) => known(token) === undefined && !isAdded(files, token));
  if (missing !== undefined) throw new ModelFolderError(`${basename(folder)}/ has no token ${shown(missing)}`);
  const added = addedTokens(files, [bos, eos, pad], known);
  const idOf = (content: string) => added.find((token) => token.content === content)!.id;
  const ends = { bos: idOf(bos), eos: idOf(eos), pad: idOf(pad) };
  const encode = encoder(tokenizer, added);
  const length = Math.min(maxTokens, number(config.model_max_length) ?? maxTokens);
  if (length < minTokens) {
    throw new ModelFolderError(
      `${basename(folder)}/tokenizer_config.json: model_max_length is ${length}; it must be at least ${minTokens}`,
    );
  }

  return {
    encode,
    frame: (kept) => {
      const ids = [ends.bos, ...kept, ends.eos];
      while (ids.length < length) ids.push(ends.pad);
      return ids;
    },
    room: length - 2,
    lead: 1,
    comma: known(',</w>'),
  };
}

function readPart(folder: string, file: string, absent?: Json): Json {
  return readJson(dirname(folder), `${basename(folder)}/${file}`, absent, maxFileBytes);
}

interface ReadTokenizer {
  readonly tokenizer: Tokenizer;
  /** The tokens that its definition adds. */
  readonly listed: unknown;
}

/** The one that ships: it takes a quarter of a second and some memory, and serves most checkpoints. */
let shipped: ReadTokenizer | undefined;

function readTokenizer(folder: string): ReadTokenizer {
  if (folder === clipFolder && shipped) return shipped;
  const definition = definitionOf(folder);
  const read = { tokenizer: libraryTokenizer(folder, definition), listed: definition.added_tokens };
  if (folder === clipFolder) shipped = read;
  return read;
}

function definitionOf(folder: string): Json {
  if (isThere(folder, 'tokenizer.json')) return readPart(folder, 'tokenizer.json');
  if (!isThere(folder, 'merges.txt')) {
    throw new ModelFolderError(`${basename(folder)}/ has neither tokenizer.json nor vocab.json with merges.txt`);
  }
  const merges = readText(dirname(folder), `${basename(folder)}/merges.txt`, maxFileBytes);
  return clipDefinition(isThere(folder, 'vocab.json') ? readPart(folder, 'vocab.json') : vocabularyOf(merges), merges);
}

/** The library's, for texts without added tokens: those it finds otherwise than transformers. */
function libraryTokenizer(folder: string, definition: Json): Tokenizer {
  try {
    const tokenizer = new Tokenizer({ ...alike(definition), added_tokens: [], post_processor: null }, {});
    const { model } = definition;
    const whole = Object.values(model.vocab).every((id) => Number.isSafeInteger(id) && Number(id) >= 0);
    if (!whole || !Array.isArray(model.merges) || model.merges.length === 0)
      throw new Error('it has no merges, or ids that are no numbers');
    return tokenizer;
  } catch (error) {
    throw new ModelFolderError(`${basename(folder)}/ holds no tokenizer that can be read: ${(error as Error).message}`);
  }
}

function isAdded(
  { definition, decoder, added }: { definition: unknown; decoder: unknown; added: Json },
  token: string,
): boolean {
  const listed = [...(Array.isArray(definition) ? definition : []), ...Object.values(decoder ?? {})];
  return added[token] !== undefined || listed.some((one) => one?.content === token);
}

/** Tokens that are added come first: in the text as it is, then in what the normalizer leaves of the rest. */
function encoder(
  { normalizer, pre_tokenizer, model }: Tokenizer,
  added: readonly AddedToken[],
): (text: string) => number[] {
  const normalize = (text: string): string => (normalizer ? normalizer(text) : text);
  const contents = (normalized: boolean) =>
    new Map(
      added
        .filter((token) => token.normalized === normalized)
        .map((token) => [normalized ? normalize(token.content) : token.content, token]),
    );
  const split = splitter(contents(false));
  const splitNormalized = splitter(contents(true));
  const ids = (text: string): number[] => {
    const words = pre_tokenizer ? pre_tokenizer(text, {}) : [text];
    return model!(words).map((token: string) => model!.tokens_to_ids.get(token) ?? model!.unk_token_id!);
  };
  return (text) =>
    split(text).flatMap((piece) => {
      if (typeof piece !== 'string') return [piece.id];
      return splitNormalized(normalize(piece)).flatMap((part) => (typeof part === 'string' ? ids(part) : [part.id]));
    });
}
