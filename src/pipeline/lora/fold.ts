// A model with LoRAs: its graphs written again with changed weights. What no LoRA touches stays the model's own graph.

import type { ModelFolder } from '../folder/model-folder.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import type { WeightChange, WeightChanges } from '../graphs/low-rank.js';
import type { LoraPart } from './keys.js';
import type { LoraFile } from './lora-file.js';
import { matchLora, type PartTensors } from './match.js';

export interface ScaledLora {
  readonly name: string;
  readonly scale: number;
  readonly file: LoraFile;
}

export interface Folded {
  readonly folder: ModelFolder;
  /** Keys of all its LoRAs that the model has no place for. */
  readonly unusedKeys: number;
}

const parts = ['unet', 'text_encoder', 'text_encoder_2'] as const satisfies readonly LoraPart[];

/**
 * @param loras in the order in which they are added: sums of floats depend on it
 * @throws ModelFolderError that names the LoRA
 */
export function fold(folder: ModelFolder, loras: readonly ScaledLora[]): Folded {
  const tensors: PartTensors = Object.fromEntries(
    parts.flatMap((part) => {
      const graph = folder.graphs[part];
      return typeof graph === 'object' ? [[part, graph.tensors]] : [];
    }),
  );
  const all: Partial<Record<LoraPart, Map<string, WeightChange[]>>> = {};
  let unusedKeys = 0;
  for (const { name, scale, file } of loras) {
    const matched = naming(name, () => matchLora(file, tensors, scale));
    unusedKeys += matched.unusedKeys;
    for (const part of parts) {
      const changes = all[part] ?? new Map<string, WeightChange[]>();
      all[part] = changes;
      for (const [weight, change] of matched.changes[part] ?? []) {
        changes.set(weight, [...(changes.get(weight) ?? []), change]);
      }
    }
  }
  const changed = parts.flatMap((part) => {
    const graph = folder.graphs[part];
    const changes: WeightChanges = all[part] ?? new Map();
    return typeof graph === 'object' && changes.size > 0 ? [[part, graph.with(changes)]] : [];
  });
  return { folder: { ...folder, graphs: { ...folder.graphs, ...Object.fromEntries(changed) } }, unusedKeys };
}

function naming<T>(name: string, match: () => T): T {
  try {
    return match();
  } catch (error) {
    if (!(error instanceof ModelFolderError)) throw error;
    throw new ModelFolderError(`the LoRA ${name} does not fit: ${error.message}`);
  }
}
