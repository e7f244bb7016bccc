// The JSON files of a model folder: bounded, and of each key that is read its type and range.

import { mistakesIn } from '../../json-mistakes.js';
import { isThere, readText } from './files.js';
import { ModelFolderError } from './model-folder-error.js';

// biome-ignore lint/suspicious/noExplicitAny: configs of many exporters; each key is checked by the schema of its file
export type Json = Record<string, any>;

/** Configs take a few kilobytes. */
const maxConfigBytes = 2 ** 20;

/**
 * @param absent what a missing file counts as
 * @throws ModelFolderError when it is missing, too large, or no JSON object
 */
export function readJson(folder: string, file: string, absent?: Json, maxBytes = maxConfigBytes): Json {
  if (absent && !isThere(folder, file)) return absent;
  const value = parseJson(readText(folder, file, maxBytes));
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw new ModelFolderError(`${file} is not a JSON object`);
}

/**
 * @param schema of the keys that are read; null counts as absent
 * @throws ModelFolderError that names the file, and of each mistake the key, the value and what it must be
 */
export function checkJson(file: string, value: Json, schema: object): void {
  const mistakes = mistakesIn(value, schema);
  if (mistakes.length > 0) throw new ModelFolderError(`${file}: ${mistakes.join('; ')}`);
}

function parseJson(text: string): unknown {
  try {
    // Python writes infinities that JSON does not have: diffusers' lambda_min_clipped is one.
    return JSON.parse(text.replace(/:\s*-?Infinity\b/g, ': null'));
  } catch {
    return undefined;
  }
}

/** Undefined for whatever is no number. */
export function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
