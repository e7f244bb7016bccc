// A model with LoRAs beside its weights, as the worker makes it.

import { areBranches, branchesOf, layoutsOf, pack, partsOf } from '../../../src/pipeline/lora/branches.js';
import type { ScaledLora } from '../../../src/pipeline/lora/fold.js';
import { matchLora, tensorsOf } from '../../../src/pipeline/lora/match.js';
import { branchedModel, type Model } from '../../../src/pipeline/model.js';

/** @returns undefined where they can only be folded */
export function besideWeights(base: Model, loras: readonly ScaledLora[]): Model | undefined {
  const layouts = layoutsOf(base.folder);
  const matched = loras.map(({ file }) => matchLora(file, tensorsOf(base.folder), 1));
  if (!areBranches(matched.map((one) => partsOf(layouts, one)))) return undefined;
  const used = loras.map(({ name, scale }, i) => ({ digest: name, scale, packed: pack(layouts, matched[i]!) }));
  return branchedModel(base, branchesOf(used), 0);
}
