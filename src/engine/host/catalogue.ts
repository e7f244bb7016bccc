// The model folders as the workers see them, and which one a request means.

import { loraFamilyNames } from '../../model-facts.js';
import { EngineError } from '../shared/errors.js';
import type { BrokenModel, FolderDigest, LoraEntry, LoraInfo, ModelInfo } from '../shared/messages.js';

export type CatalogueEntry = ModelInfo | BrokenModel;

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
  const quoted = JSON.stringify(name);
  if (!found)
    throw new EngineError('lora_not_found', `There is no LoRA ${quoted}; GET /loras lists those that there are.`);
  if (!found.runnable)
    throw new EngineError('lora_not_runnable', `The LoRA ${quoted} cannot be used: ${found.reason}.`);
  const { name: modelName, loraFamily } = model;
  if (loraFamily === null) {
    const detail = `The model ${modelName} takes no LoRAs: its graphs were exported; LoRAs need a model whose UNet comes as safetensors.`;
    throw new EngineError('lora_not_runnable', detail);
  }
  if (found.family === loraFamily || found.family === 'unknown' || loraFamily === 'unknown') return found;
  const [own, its] = [loraFamilyNames[found.family], loraFamilyNames[loraFamily]];
  throw new EngineError('lora_not_runnable', `The LoRA ${quoted} is for ${own}, and the model ${modelName} is ${its}.`);
}

/**
 * The model of that name, or the first that runs.
 * @throws EngineError model_not_found, model_not_runnable
 */
export function findModel(catalogue: readonly CatalogueEntry[], name?: string): ModelInfo {
  const runnable = catalogue.filter((model) => model.runnable);
  const found = name === undefined ? runnable[0] : catalogue.find((model) => model.name === name);
  if (found?.runnable) return found;
  if (found) throw new EngineError('model_not_runnable', `The model ${found.name} cannot run: ${found.reason}.`);
  if (name === undefined) throw new EngineError('model_not_runnable', 'No model in this server can run.');
  const known = runnable.map((model) => model.name).join(', ');
  throw new EngineError('model_not_found', `There is no model ${JSON.stringify(name)}; there are: ${known}.`);
}
