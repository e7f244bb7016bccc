// What a pull wrote down beside a model: where it came from, and of each file the size and digest.

import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Check } from 'typebox/schema';
import { ModelsError } from './models-error.js';

const Manifest = Type.Object({
  repository: Type.String(),
  /** As it was asked for. */
  revision: Type.String(),
  commit: Type.String(),
  license: Type.Optional(Type.String()),
  variant: Type.Optional(Type.String()),
  safetyChecker: Type.Optional(Type.Boolean()),
  files: Type.Array(
    Type.Object({
      /** Below the model's folder; of a model that is one file, its name here. */
      path: Type.String({ minLength: 1, maxLength: 500 }),
      bytes: Type.Integer({ minimum: 0 }),
      sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    }),
    { minItems: 1 },
  ),
});
export type Manifest = Static<typeof Manifest>;

const largest = 16 * 2 ** 20;

/** `NAME/.pull.json` of a folder, `.NAME.pull.json` beside a file. */
export const manifestOf = (path: string): string =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory()
    ? join(path, folderManifest)
    : join(dirname(path), `.${basename(path)}.pull.json`);
export const folderManifest = '.pull.json';

export const writtenManifest = (manifest: Manifest): string => `${JSON.stringify(manifest, undefined, 2)}\n`;

/** @returns undefined where there is none @throws ModelsError for one that no pull wrote */
export function readManifest(path: string): Manifest | undefined {
  const file = manifestOf(path);
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat) return undefined;
  const manifest = stat.isFile() && stat.size <= largest ? parse(readFileSync(file, 'utf8')) : undefined;
  if (Check(Manifest, manifest)) return manifest as Manifest;
  throw new ModelsError(`${file} is no manifest of a pull`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
