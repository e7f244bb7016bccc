// The folder of model folders.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { components } from './components.js';

export interface FoundFolders {
  /** Of what looks like a model: a folder with a model_index.json or a component's folder. */
  readonly names: readonly string[];
  /** Why there are none, in one sentence without its end. */
  readonly problem?: string;
}

const maxEntries = 1000;

/** @param modelsDir MODELS_DIR */
export function findModelFolders(modelsDir: string): FoundFolders {
  let entries: string[];
  try {
    entries = readdirSync(modelsDir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { names: [], problem: `MODELS_DIR ${modelsDir} does not exist` };
    if (code === 'ENOTDIR') return { names: [], problem: `MODELS_DIR ${modelsDir} is not a folder` };
    return { names: [], problem: `MODELS_DIR ${modelsDir} cannot be read: ${code}` };
  }
  if (existsSync(join(modelsDir, 'model_index.json'))) {
    return { names: [], problem: `MODELS_DIR ${modelsDir} is a model itself; it must be the folder that holds models` };
  }
  if (entries.length > maxEntries) {
    return {
      names: [],
      problem: `MODELS_DIR ${modelsDir} holds ${entries.length} folders; at most ${maxEntries} are looked at`,
    };
  }
  const names = entries.filter((name) =>
    ['model_index.json', ...components].some((part) => existsSync(join(modelsDir, name, part))),
  );
  return names.length > 0 ? { names } : { names, problem: `MODELS_DIR ${modelsDir} holds no model folders` };
}
