// CLIP's vocabulary, which follows from its merges: every byte, every byte at a word's end, what each merge makes, two marks.

import { fileURLToPath } from 'node:url';
import { pairsOf } from './clip-definition.js';

/** The merges that serve models without a tokenizer of their own. */
export const clipFolder = fileURLToPath(new URL('../../assets/clip', import.meta.url));

const inRange = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** @param merges merges.txt @returns token -> id, as in vocab.json */
export function vocabularyOf(merges: string): Record<string, number> {
  // Bytes that print stand for themselves, in this order; the others take characters from 256 on (bytes_to_unicode of GPT-2).
  const printable = [...inRange(0x21, 0x7e), ...inRange(0xa1, 0xac), ...inRange(0xae, 0xff)];
  const symbols = [...printable, ...inRange(256, 511 - printable.length)].map((code) => String.fromCharCode(code));
  const merged = pairsOf(merges).map((pair) => pair.join(''));
  const tokens = [
    ...symbols,
    ...symbols.map((symbol) => `${symbol}</w>`),
    ...merged,
    '<|startoftext|>',
    '<|endoftext|>',
  ];
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}
