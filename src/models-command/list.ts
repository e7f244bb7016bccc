// `list`: what MODELS_DIR has.

import { findModels } from '../pipeline/folder/find-models.js';
import { bytesOnDisk } from '../pipeline/folder/folder-digest.js';
import { inspectModel, reasonOf } from '../pipeline/inspect-model.js';
import { readManifest } from './manifest.js';
import { ModelsError } from './models-error.js';
import { inBytes, type Output, table } from './output.js';

interface ListedModel {
  readonly name: string;
  readonly path: string;
  readonly runnable: boolean;
  readonly kind?: string;
  /** Why it does not run. */
  readonly reason?: string;
  /** On the disk. */
  readonly bytes?: number;
  /** `org/name@commit`, of what was pulled. */
  readonly source?: string;
}

/** @throws ModelsError when MODELS_DIR holds nothing that looks like a model */
export function list(modelsDir: string, provider: 'cpu' | 'cuda', json: boolean, output: Output): void {
  const { paths, problem } = findModels(modelsDir);
  if (problem !== undefined) throw new ModelsError(problem);
  const models = [...paths].map(([name, path]) => listed(name, path, provider));
  if (json) {
    output.print(JSON.stringify({ models }, undefined, 2));
    return;
  }
  const rows = models.map(({ name, kind = '-', bytes, runnable, reason = '', source = '' }) => [
    name,
    kind,
    bytes === undefined ? '-' : inBytes(bytes),
    source,
    runnable ? 'runs' : `does not run: ${reason}`,
  ]);
  output.print(table([['NAME', 'KIND', 'SIZE', 'SOURCE', 'STATE'], ...rows]));
}

function listed(name: string, path: string, provider: 'cpu' | 'cuda'): ListedModel {
  const facts = { name, path, ...quietly(() => ({ bytes: bytesOnDisk(path) })), ...quietly(() => sourceOf(path)) };
  try {
    return { ...facts, runnable: true, kind: inspectModel(path, provider).folder.kind };
  } catch (error) {
    return { ...facts, runnable: false, reason: reasonOf(error) };
  }
}

function sourceOf(path: string): { source: string } | undefined {
  const manifest = readManifest(path);
  return manifest && { source: `${manifest.repository}@${manifest.commit.slice(0, 12)}` };
}

/** What cannot be told is left out: the reason says what is wrong. */
function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
