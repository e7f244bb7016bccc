// What in MODELS_DIR looks like a model: folders in diffusers' layout, and checkpoints that are one file.

import { existsSync, readdirSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileExtension, fileModelName } from '../checkpoint/file-names.js';
import { pickle } from '../safetensors/files.js';
import { components } from './model-folder.js';

const parts = ['model_index.json', 'vae', ...components];

/**
 * Path by name, in the names' order. `NAME.safetensors` is called NAME; where something called NAME stands beside it, and for
 * what is refused by its kind, it keeps its whole name.
 */
export function findModels(modelsDir: string): ReadonlyMap<string, string> {
  if (!existsSync(modelsDir)) return new Map();
  const entries = readdirSync(modelsDir, { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'));
  const found = entries.flatMap((entry): [name: string, path: string][] => {
    const path = join(modelsDir, entry.name);
    if (parts.some((part) => existsSync(join(path, part)))) return [[entry.name, path]];
    if (entry.isDirectory()) return [];
    if (extname(entry.name) === fileExtension) return [[fileModelName(path), path]];
    return pickle.test(entry.name) ? [[entry.name, path]] : [];
  });
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}
