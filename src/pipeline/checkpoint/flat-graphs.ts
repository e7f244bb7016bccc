// A folder whose ONNX graphs lie in it side by side, as some models that edit are published. None of them runs; it is listed with what
// it is.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { refusals } from '../families/refused.js';
import { graphFacts } from '../onnx/graph-facts.js';

const denoisers = ['unet.onnx', 'transformer.onnx'];

export const isFlatGraphs = (path: string): boolean =>
  !existsSync(join(path, 'model_index.json')) && denoisers.some((file) => existsSync(join(path, file)));

/** What it is, and why it cannot run. */
export function flatRefusal(path: string): string {
  const file = denoisers.find((name) => existsSync(join(path, name)))!;
  return (
    knownBy(join(path, file)) ??
    `its graphs lie side by side (${file}); a model has each in a folder of its own, such as ${file.replace('.onnx', '/model.onnx')}`
  );
}

/** By the inputs of the graph; undefined for others, and for one that cannot be read. */
function knownBy(graph: string): string | undefined {
  try {
    const { inputs } = graphFacts(graph);
    if (inputs.has('latent') && inputs.has('input_ids')) return refusals.moebius;
    return inputs.get('img_ids')?.shape?.at(-1) === 4 ? refusals.flux2 : undefined;
  } catch {
    return undefined;
  }
}
