// Which words of a prompt a model does not know, where its folder says what it knows.

import type { ModelInfo } from '../../engine/host/engine.js';

/** English words that join others and say nothing of a picture. */
const joining = new Set(
  'a an the and or of in on at by for from to with without as is are it its this that style'.split(' '),
);

/** Each once, in small letters. Numbers and punctuation are no words, so that weights such as `(neon:1.2)` do not count. */
function wordsOf(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/\p{L}+/gu) ?? []);
}

/**
 * Words that stand in no phrase of the model's vocabulary, in the prompts' order.
 * @returns none where the model names no vocabulary
 */
export function unknownWords({ vocabulary }: Pick<ModelInfo, 'vocabulary'>, ...prompts: readonly string[]): string[] {
  if (!vocabulary) return [];
  const known = wordsOf(Object.values(vocabulary).flat().join(' '));
  return [...wordsOf(prompts.join(' '))].filter((word) => !known.has(word) && !joining.has(word));
}
