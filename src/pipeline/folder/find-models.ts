// What in MODELS_DIR looks like a model: folders in diffusers' layout, and checkpoints that are one file.

import { type Dirent, existsSync, readdirSync } from 'node:fs';
import { extname, join, resolve } from 'node:path';
import { fileExtension, fileModelName, gguf } from '../checkpoint/file-names.js';
import { isFlatGraphs } from '../checkpoint/flat-graphs.js';
import { isLonePart } from '../checkpoint/lone-part.js';
import { pickle } from '../safetensors/files.js';
import { type Component, components } from './components.js';

export interface FoundModels {
  /** By name, in the names' order. */
  readonly paths: ReadonlyMap<string, string>;
  /** Why there are none, in one sentence without its end. */
  readonly problem?: string;
}

const maxEntries = 1000;
/** What lies beside a model's own parts makes no model. */
const beside: readonly Component[] = ['tiny_decoder', 'safety_checker'];
const parts = ['model_index.json', 'vae', ...components.filter((part) => !beside.includes(part))];

/**
 * `NAME.safetensors` is called NAME; where something called NAME stands beside it, and for what is refused by its kind, it
 * keeps its whole name.
 * @param modelsDir MODELS_DIR
 * @param lorasDir LORAS_DIR, which is no model, whatever it holds
 */
export function findModels(modelsDir: string, lorasDir = join(modelsDir, 'loras')): FoundModels {
  const none = (problem: string): FoundModels => ({ paths: new Map(), problem: `MODELS_DIR ${modelsDir} ${problem}` });
  let entries: Dirent[];
  try {
    entries = readdirSync(modelsDir, { withFileTypes: true }).filter(mayBeModel);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return none('does not exist');
    if (code === 'ENOTDIR') return none('is not a folder');
    return none(`cannot be read: ${code}`);
  }
  if (existsSync(join(modelsDir, 'model_index.json'))) {
    return none('is a model itself; it must be the folder that holds models');
  }
  if (entries.length > maxEntries) {
    return none(`holds ${entries.length} folders and checkpoints; at most ${maxEntries} are looked at`);
  }
  const found = entries.flatMap((entry): [name: string, path: string][] => {
    const path = join(modelsDir, entry.name);
    if (resolve(path) === resolve(lorasDir)) return [];
    const isFolder = parts.some((part) => existsSync(join(path, part))) || isFlatGraphs(path) || isLonePart(path);
    if (isFolder) return [[entry.name, path]];
    if (entry.isDirectory() || !isCheckpoint(entry)) return [];
    return [[extname(entry.name) === fileExtension ? fileModelName(path) : entry.name, path]];
  });
  if (found.length === 0) return none('holds no models');
  return { paths: new Map(found.sort(([a], [b]) => (a < b ? -1 : 1))) };
}

/** What begins with a dot is somebody's own: a download's, or Git's. */
const mayBeModel = (entry: Dirent) =>
  !entry.name.startsWith('.') && (entry.isDirectory() || entry.isSymbolicLink() || isCheckpoint(entry));

/** By its name. */
const isCheckpoint = ({ name }: Dirent) => extname(name) === fileExtension || pickle.test(name) || gguf.test(name);
