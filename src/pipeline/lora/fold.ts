// A model with LoRAs: its graphs with changed weights, written again where they are ours. What no LoRA touches stays the model's own.

import type { WrittenPart } from '../checkpoint/written-part.js';
import type { ModelFolder } from '../folder/model-folder.js';
import type { WeightChange, WeightChanges } from '../graphs/low-rank.js';
import type { ChangedGraph } from '../onnx/sessions.js';
import { changedExport } from './exported-graph.js';
import { type LoraPart, loraParts } from './keys.js';
import type { LoraFile } from './lora-file.js';
import { matchLora, naming, tensorsOf } from './match.js';

export interface ScaledLora {
  readonly name: string;
  readonly scale: number;
  readonly file: LoraFile;
}

export interface Folded {
  /** With those of its graphs that are ours, changed. */
  readonly folder: ModelFolder;
  /** What is loaded in the place of the model's own graphs. */
  readonly graphs: Readonly<Partial<Record<LoraPart, WrittenPart | ChangedGraph>>>;
  /** Keys of all its LoRAs that the model has no place for. */
  readonly unusedKeys: number;
}

/**
 * @param loras in the order in which they are added: sums of floats depend on it
 * @throws ModelFolderError that names the LoRA
 */
export function fold(folder: ModelFolder, loras: readonly ScaledLora[]): Folded {
  const tensors = tensorsOf(folder);
  const all: Partial<Record<LoraPart, Map<string, WeightChange[]>>> = {};
  let unusedKeys = 0;
  for (const { name, scale, file } of loras) {
    const matched = naming(name, () => matchLora(file, tensors, scale));
    unusedKeys += matched.unusedKeys;
    for (const part of loraParts) {
      const changes = all[part] ?? new Map<string, WeightChange[]>();
      all[part] = changes;
      for (const [weight, change] of matched.changes[part] ?? []) {
        changes.set(weight, [...(changes.get(weight) ?? []), change]);
      }
    }
  }
  const changed = loraParts.flatMap((part) => {
    const graph = folder.graphs[part];
    const changes: WeightChanges = all[part] ?? new Map();
    if (graph === undefined || changes.size === 0) return [];
    return [[part, typeof graph === 'object' ? graph.with(changes) : changedExport(graph, changes)]];
  });
  const graphs: Folded['graphs'] = Object.fromEntries(changed);
  const written = Object.entries(graphs).filter(([, graph]) => 'tensors' in graph);
  return { folder: { ...folder, graphs: { ...folder.graphs, ...Object.fromEntries(written) } }, graphs, unusedKeys };
}
