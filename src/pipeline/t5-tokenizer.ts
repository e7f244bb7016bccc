// T5's tokenizer: the likeliest pieces of a text (Unigram, Kudo 2018), by the JavaScript library of Hugging Face's; what it normalizes in
// another way than transformers is ours.

import { basename, dirname } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { addedTokens, splitter } from './added-tokens.js';
import { type Json, readJson } from './folder/configs.js';
import { isThere } from './folder/files.js';
import { ModelFolderError } from './folder/model-folder-error.js';
import { precompiledNormalizer } from './precompiled-normalizer.js';
import type { PromptTokenizer } from './tokenizer.js';

/** T5's has 2.4 MB. */
const maxFileBytes = 32 * 2 ** 20;
const file = 'tokenizer.json';
const [end, padding] = ['</s>', '<pad>'];

/**
 * @param folder the model's tokenizer_3/ folder, or whichever is T5's
 * @param tokens how many the text encoder gets, the end token and padding included
 * @throws ModelFolderError for a tokenizer.json that is missing, or no Unigram's
 */
export function loadT5Tokenizer(folder: string, tokens: number): PromptTokenizer {
  const name = basename(folder);
  if (!isThere(folder, file)) {
    const alone = isThere(folder, 'spiece.model')
      ? ', and spiece.model alone is not read: save it as a fast tokenizer'
      : '';
    throw new ModelFolderError(`${name}/ has no ${file}${alone}`);
  }
  const definition = readJson(dirname(folder), `${name}/${file}`, undefined, maxFileBytes);
  const { model, pre_tokenizer: preTokenizer, normalize } = unigram(name, definition);
  /** @param place among the pieces of a prompt: some tokenizers put a space before the first alone */
  const ids = (text: string, place: number): number[] => {
    const words = preTokenizer ? preTokenizer(text, { section_index: place }) : [text];
    return model!(words).map((token: string) => model!.tokens_to_ids.get(token) ?? model!.unk_token_id!);
  };
  const idOf = (token: string) => model!.tokens_to_ids.get(token);
  const missing = [end, padding].find((token) => idOf(token) === undefined);
  if (missing !== undefined) throw new ModelFolderError(`${name}/ has no token ${missing}`);
  const added = addedTokens(
    { definition: definition.added_tokens, decoder: undefined, added: undefined },
    [end, padding],
    idOf,
  );
  const split = splitter(new Map(added.map((token) => [token.content, token])));
  return {
    encode: (text) =>
      split(text).flatMap((piece, i) => {
        if (typeof piece !== 'string') return [piece.id];
        const normalized = normalize(piece);
        return normalized === '' ? [] : ids(normalized, i);
      }),
    frame: (kept) => {
      const all = [...kept, idOf(end)!];
      return [...all, ...Array(tokens - all.length).fill(idOf(padding))];
    },
    room: tokens - 1,
    lead: 0,
    comma: undefined,
  };
}

function unigram(name: string, definition: Json) {
  try {
    const { normalizer, model } = definition;
    if (model?.type !== 'Unigram' || !Array.isArray(model.vocab) || model.vocab.length === 0) {
      throw new Error('it is no Unigram');
    }
    const bare = { ...definition, added_tokens: [], post_processor: null };
    const { model: made, pre_tokenizer } = new Tokenizer({ ...bare, normalizer: null } as never, {});
    const steps = flattened(normalizer).map((each) => normalizerOf(each, bare));
    const normalize = (text: string) => steps.reduce((current, step) => step(current), text);
    return { model: made, pre_tokenizer, normalize };
  } catch (error) {
    throw new ModelFolderError(`${name}/${file} holds no tokenizer that can be read: ${(error as Error).message}`);
  }
}

const flattened = (normalizer: Json | null | undefined): Json[] =>
  !normalizer ? [] : normalizer.type === 'Sequence' ? normalizer.normalizers.flatMap(flattened) : [normalizer];

/** The library's, but for the table of characters. */
function normalizerOf(normalizer: Json, definition: Json): (text: string) => string {
  if (normalizer.type === 'Precompiled') return precompiledNormalizer(String(normalizer.precompiled_charsmap));
  const model = { ...definition.model, vocab: [['<unk>', 0]], unk_id: 0 };
  const { normalizer: made } = new Tokenizer({ ...definition, model, normalizer, pre_tokenizer: null } as never, {});
  return (text) => made!(text);
}
