// The words that a model knows by name, as its img2img.json says them.

import { ModelFolderError } from './model-folder-error.js';

export const vocabularyGroups = ['styles', 'qualities', 'colours', 'other'] as const;

/** Words and phrases by what they do; `other` has the synonyms and whatever fits nowhere else. */
export type Vocabulary = Readonly<Record<(typeof vocabularyGroups)[number], readonly string[]>>;

/** Words of one group, and characters of one word: the list goes to every reader of GET /models. */
const maxWords = 1000;
const maxLength = 100;

/**
 * @param value of the key `vocabulary`; groups that are left out are empty
 * @throws ModelFolderError for what is no list of words
 */
export function readVocabulary(value: unknown): Vocabulary | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ModelFolderError(`img2img.json has a vocabulary that is no object with ${vocabularyGroups.join(', ')}`);
  }
  const unknown = Object.keys(value).find((key) => !(vocabularyGroups as readonly string[]).includes(key));
  if (unknown !== undefined) {
    throw new ModelFolderError(`img2img.json has vocabulary.${unknown}; the groups are ${vocabularyGroups.join(', ')}`);
  }
  return Object.fromEntries(
    vocabularyGroups.map((group) => [group, words(group, (value as Record<string, unknown>)[group] ?? [])]),
  ) as unknown as Vocabulary;
}

function words(group: string, value: unknown): readonly string[] {
  const isWord = (word: unknown) => typeof word === 'string' && word.trim() !== '' && word.length <= maxLength;
  if (Array.isArray(value) && value.length <= maxWords && value.every(isWord)) return value;
  throw new ModelFolderError(
    `img2img.json has a vocabulary.${group} that is no list of at most ${maxWords} words of 1 to ${maxLength} characters`,
  );
}
