// The model folders as the workers see them, and which one a request means.

import { EngineError } from '../shared/errors.js';
import type { BrokenModel, FolderDigest, ModelInfo } from '../shared/messages.js';

export type CatalogueEntry = ModelInfo | BrokenModel;

/** When a model whose files are being written is worth another try. */
const changingSeconds = 5;

export function cannotRun({ name, reason, changing }: Omit<BrokenModel, 'runnable'>): EngineError {
  if (changing)
    return new EngineError('model_changing', `The model ${name} cannot run now: ${reason}.`, changingSeconds);
  return new EngineError('model_not_runnable', `The model ${name} cannot run: ${reason}.`);
}

/** One list of what several workers say: a folder that one of them cannot run is broken, one that any has loaded is loaded. */
export function mergeCatalogues(catalogues: readonly (readonly CatalogueEntry[])[]): CatalogueEntry[] {
  const merged = new Map<string, CatalogueEntry>();
  for (const entry of catalogues.flat()) {
    const known = merged.get(entry.name);
    if (!known || !entry.runnable) merged.set(entry.name, entry);
    else if (known.runnable) merged.set(entry.name, { ...known, loaded: known.loaded || entry.loaded });
  }
  return [...merged.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** By name. */
export function digestsOf(catalogue: readonly CatalogueEntry[]): Record<string, FolderDigest> {
  return Object.fromEntries(catalogue.flatMap((entry) => (entry.runnable ? [[entry.name, entry]] : [])));
}

/**
 * The model of that name, or the first that runs.
 * @throws EngineError model_not_found, model_not_runnable, model_changing
 */
export function findModel(catalogue: readonly CatalogueEntry[], name?: string): ModelInfo {
  const runnable = catalogue.filter((model) => model.runnable);
  const found = name === undefined ? runnable[0] : catalogue.find((model) => model.name === name);
  if (found?.runnable) return found;
  if (found) throw cannotRun(found);
  if (name === undefined) throw new EngineError('model_not_runnable', 'No model in this server can run.');
  const known = runnable.map((model) => model.name).join(', ');
  throw new EngineError('model_not_found', `There is no model ${JSON.stringify(name)}; there are: ${known}.`);
}
