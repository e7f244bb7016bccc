// The model folders as the workers see them, and which one a request means.

import { defaultFirst } from '../shared/default-model.js';
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
 * The model of that name; without a name the default. One whose files are being written stays the default meanwhile: no other
 * model answers in its place.
 * @param chosen DEFAULT_MODEL
 * @throws EngineError model_not_found, model_not_runnable, model_changing
 */
export function findModel(catalogue: readonly CatalogueEntry[], name?: string, chosen?: string): ModelInfo {
  const runnable = catalogue.filter((model) => model.runnable);
  const wanted = name ?? chosen;
  const candidates = catalogue.filter((model) => model.runnable || model.changing);
  const found = wanted === undefined ? defaultFirst(candidates)[0] : catalogue.find((model) => model.name === wanted);
  if (found?.runnable) return found;
  if (found) throw cannotRun(found);
  if (wanted === undefined) throw new EngineError('model_not_runnable', 'No model in this server can run.');
  const known = runnable.map((model) => model.name).join(', ');
  throw new EngineError('model_not_found', `There is no model ${JSON.stringify(wanted)}; there are: ${known}.`);
}

/** Faults that a sentence names. */
const mostFaults = 3;

/**
 * Why a server should not start with these models, in a sentence: nothing runs, or not what was chosen. Undefined when it can, or
 * may soon, as while files are being written.
 * @param problem why there are no models, as the worker tells it
 */
export function startFault(
  catalogue: readonly CatalogueEntry[],
  chosen: string | undefined,
  problem: string | undefined,
): string | undefined {
  if (problem !== undefined) return `${problem}.`;
  const broken = catalogue.filter((model) => !model.runnable && !model.changing) as BrokenModel[];
  if (broken.length === catalogue.length) {
    const faults = broken.slice(0, mostFaults).map(({ name, reason }) => `${name}: ${reason}`);
    return `No model in MODELS_DIR can run. ${faults.join('. ')}${broken.length > mostFaults ? '…' : '.'}`;
  }
  if (chosen === undefined) return undefined;
  const own = catalogue.find(({ name }) => name === chosen);
  const told = `DEFAULT_MODEL is ${JSON.stringify(chosen)}`;
  if (!own)
    return `${told}; MODELS_DIR has no model of that name. It has: ${catalogue.map(({ name }) => name).join(', ')}.`;
  return own.runnable || own.changing ? undefined : `${told}, which cannot run: ${own.reason}.`;
}
