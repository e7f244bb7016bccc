// CLIP's tokenizer: text -> a fixed number of ids. Reads tokenizer.json, or vocab.json + merges.txt, which it turns into the same.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { vocabularyOf } from './clip-vocabulary.js';
import { ModelFolderError } from './folder/model-folder-error.js';

export interface Tokens {
  readonly ids: readonly number[]; // [maxTokens]
  /** How many tokens did not fit and were left out. */
  readonly dropped: number;
}

export type Tokenize = (text: string) => Tokens;

/**
 * @param folder the model's tokenizer/ folder
 * @param maxTokens what the text encoder takes at most, the start and end tokens included
 * @param padToken where the folder does not say it
 */
export function loadTokenizer(folder: string, maxTokens: number, padToken?: string): Tokenize {
  const read = (file: string) => readFileSync(join(folder, file), 'utf8');
  const config = existsSync(join(folder, 'tokenizer_config.json')) ? JSON.parse(read('tokenizer_config.json')) : {};
  const special = existsSync(join(folder, 'special_tokens_map.json'))
    ? JSON.parse(read('special_tokens_map.json'))
    : {};
  const tokenOf = (role: string, fallback: string): string => {
    const token = (role === 'pad_token' ? padToken : undefined) ?? config[role] ?? special[role] ?? fallback;
    return typeof token === 'string' ? token : String(token.content);
  };
  let definition: object;
  if (existsSync(join(folder, 'tokenizer.json'))) definition = JSON.parse(read('tokenizer.json'));
  else if (existsSync(join(folder, 'merges.txt'))) {
    const merges = read('merges.txt');
    const vocabulary = existsSync(join(folder, 'vocab.json')) ? JSON.parse(read('vocab.json')) : vocabularyOf(merges);
    definition = clipDefinition(vocabulary, merges, tokenOf('pad_token', '<|endoftext|>'));
  } else throw new ModelFolderError('tokenizer/ has neither tokenizer.json nor vocab.json with merges.txt');

  const tokenizer = new Tokenizer(definition, config);
  const idOf = (role: string, fallback: string): number => {
    const text = tokenOf(role, fallback);
    const id = tokenizer.token_to_id(text);
    if (id === undefined) throw new ModelFolderError(`tokenizer/ has no token ${text} (${role})`);
    return id;
  };
  const bos = idOf('bos_token', '<|startoftext|>');
  const eos = idOf('eos_token', '<|endoftext|>');
  const pad = idOf('pad_token', '<|endoftext|>');
  const length = Math.min(maxTokens, config.model_max_length ?? maxTokens);

  return (text) => {
    const all = tokenizer.encode(text, { add_special_tokens: false }).ids;
    const kept = all.slice(0, length - 2);
    const ids = [bos, ...kept, eos];
    while (ids.length < length) ids.push(pad);
    return { ids, dropped: all.length - kept.length };
  };
}

/**
 * The tokenizer.json that transformers' converter makes of CLIP's two files.
 * @param pad a special token too: where it is `!`, a prompt's exclamation marks are padding, as in transformers
 */
function clipDefinition(vocab: Record<string, number>, merges: string, pad: string): object {
  const specials = [...new Set(['<|startoftext|>', '<|endoftext|>', pad])].filter((token) =>
    Object.hasOwn(vocab, token),
  );
  return {
    added_tokens: specials.map((content) => ({
      id: vocab[content],
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: true,
    })),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<|endoftext|>',
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      vocab,
      merges: merges
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#version'))
        .map((line) => line.split(' ')),
    },
  };
}
