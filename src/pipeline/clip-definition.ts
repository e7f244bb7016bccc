// A tokenizer.json for CLIP's two files, and what of anybody's tokenizer.json the JavaScript library does in another way.
// Source: transformers 4, convert_slow_tokenizer.py, CLIPConverter.

import type { Json } from './folder/configs.js';

/** How CLIP takes texts apart. */
const words = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

/**
 * The tokenizer.json that transformers' converter makes.
 * @param vocab token -> id
 * @param merges merges.txt
 */
export function clipDefinition(vocab: Readonly<Record<string, number>>, merges: string): Json {
  return {
    added_tokens: [],
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
          pattern: { Regex: words },
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
      merges: pairsOf(merges),
    },
  };
}

/** @param merges merges.txt @returns what is joined, in its order */
export function pairsOf(merges: string): string[][] {
  return merges
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '' && !line.startsWith('#version'))
    .map((line) => line.split(' '));
}

/** What the library does otherwise than transformers is turned into what it does alike. */
export function alike({ normalizer, pre_tokenizer, ...rest }: Json): Json {
  return {
    ...rest,
    normalizer: lowercasedByCharacter(normalizer ?? null),
    pre_tokenizer: takenApartOnce(pre_tokenizer),
  };
}

/** After CLIP's words the second pattern finds nothing more; in JavaScript it takes U+FEFF for a space. */
function takenApartOnce(preTokenizer: Json | null): Json | null {
  const [split, bytes] = preTokenizer?.type === 'Sequence' ? (preTokenizer.pretokenizers ?? []) : [];
  if (split?.pattern?.Regex !== words || bytes?.type !== 'ByteLevel') return preTokenizer;
  return { ...preTokenizer, pretokenizers: [split, { ...bytes, use_regex: false }] };
}

/**
 * JavaScript turns a capital sigma at a word's end into ς; Rust goes character by character, where it is always σ. The other
 * characters have one small letter each.
 */
function lowercasedByCharacter(normalizer: Json | null): Json | null {
  if (normalizer?.type === 'Lowercase') {
    const sigma = { type: 'Replace', pattern: { String: 'Σ' }, content: 'σ' };
    return { type: 'Sequence', normalizers: [sigma, normalizer] };
  }
  if (normalizer?.type !== 'Sequence' || !Array.isArray(normalizer.normalizers)) return normalizer;
  return { ...normalizer, normalizers: normalizer.normalizers.map(lowercasedByCharacter) };
}
