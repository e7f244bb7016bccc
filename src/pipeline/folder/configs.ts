// The JSON files of a model folder.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ModelFolderError } from './model-folder-error.js';

// biome-ignore lint/suspicious/noExplicitAny: configs of many exporters; each key is checked where it is read
export type Json = Record<string, any>;

/**
 * @param absent what a missing file counts as
 * @throws ModelFolderError when it is missing, or no JSON object
 */
export function readJson(folder: string, file: string, absent?: Json): Json {
  const path = join(folder, file);
  if (!existsSync(path)) {
    if (absent) return absent;
    throw new ModelFolderError(`${file} is missing`);
  }
  const value = parseJson(readFileSync(path, 'utf8'));
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new ModelFolderError(`${file} is not a JSON object`);
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
