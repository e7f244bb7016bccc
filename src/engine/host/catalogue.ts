// The model folders as the workers see them, and which one a request means.

import { loraFamilyNames } from '../../model-facts.js';
import { defaultFirst } from '../shared/default-model.js';
import { EngineError } from '../shared/errors.js';
import type { BrokenModel, FolderDigest, LoraEntry, LoraInfo, ModelInfo } from '../shared/messages.js';

export type CatalogueEntry = ModelInfo | BrokenModel;

/** Characters of a name in a sentence: what a client sends may be long. */
const mostOfAName = 255;

/** When a model whose files are being written is worth another try. */
const changingSeconds = 5;

export function cannotRun({ name, reason, changing }: Omit<BrokenModel, 'runnable'>): EngineError {
  if (changing)
    return new EngineError('model_changing', `The model ${name} cannot run now: ${reason}.`, changingSeconds);
  return new EngineError('model_not_runnable', `The model ${name} cannot run: ${reason}.`);
}

interface Entry {
  readonly name: string;
  readonly runnable: boolean;
  readonly loaded?: boolean;
}

/** One list of what several workers say: what one of them cannot run is broken, what any has loaded is loaded. */
export function mergeCatalogues<E extends Entry>(catalogues: readonly (readonly E[])[]): E[] {
  const merged = new Map<string, E>();
  for (const entry of catalogues.flat()) {
    const known = merged.get(entry.name);
    if (!known || !entry.runnable) merged.set(entry.name, entry);
    else if (known.runnable && entry.loaded) merged.set(entry.name, { ...known, loaded: true });
  }
  return [...merged.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** By name. */
export function digestsOf(
  catalogue: readonly ({ readonly name: string } & (
    | { readonly runnable: false }
    | ({ readonly runnable: true } & FolderDigest)
  ))[],
): Record<string, FolderDigest> {
  return Object.fromEntries(catalogue.flatMap((entry) => (entry.runnable ? [[entry.name, entry]] : [])));
}

/**
 * The LoRA of that name, for a model.
 * @throws EngineError lora_not_found, lora_not_runnable
 */
export function findLora(loras: readonly LoraEntry[], name: string, model: ModelInfo): LoraInfo {
  const found = loras.find((lora) => lora.name === name);
  const quoted = JSON.stringify(name.slice(0, mostOfAName));
  if (!found)
    throw new EngineError('lora_not_found', `There is no LoRA ${quoted}; GET /loras lists those that there are.`);
  if (!found.runnable)
    throw new EngineError('lora_not_runnable', `The LoRA ${quoted} cannot be used: ${found.reason}.`);
  const { name: modelName, loraFamily } = model;
  if (loraFamily === null) {
    const isTransformer = model.parts.some(({ part }) => part === 'transformer');
    const detail = isTransformer
      ? `The model ${modelName} takes no LoRAs: it is a transformer, and only those of UNets are supported.`
      : `The model ${modelName} takes no LoRAs: its exported UNet does not tell which weight belongs to which module; LoRAs need a UNet that comes as safetensors, or whose export names its nodes, as optimum's do.`;
    throw new EngineError('lora_not_runnable', detail);
  }
  if (found.family === loraFamily || found.family === 'unknown' || loraFamily === 'unknown') return found;
  const [own, its] = [loraFamilyNames[found.family], loraFamilyNames[loraFamily]];
  throw new EngineError('lora_not_runnable', `The LoRA ${quoted} is for ${own}, and the model ${modelName} is ${its}.`);
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
  const told = JSON.stringify(wanted.slice(0, mostOfAName));
  throw new EngineError('model_not_found', `There is no model ${told}; there are: ${known}.`);
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
