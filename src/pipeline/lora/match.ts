// A LoRA's modules and a model's weights -> the changes of each weight. Nothing is added where shapes differ: the whole file is
// refused then, as one for another model.

import { closeSync, openSync } from 'node:fs';
import type { ModelFolder } from '../folder/model-folder.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { type Factors, sidesOf, type WeightChange } from '../graphs/low-rank.js';
import { numbersOf } from '../safetensors/numbers.js';
import { exportedWeights } from './exported-graph.js';
import { type LoraPart, loraParts } from './keys.js';
import type { LoraFile, LoraModule } from './lora-file.js';
import { type Shapes, weightsByModule } from './module-names.js';

/** A file of which less has a place in the model is for another one. */
const leastMatched = 0.9;

export type PartTensors = Readonly<Partial<Record<LoraPart, Shapes>>>;

export interface Matched {
  readonly changes: Readonly<Partial<Record<LoraPart, ReadonlyMap<string, WeightChange>>>>;
  /** Of its keys, those that the model has no place for. */
  readonly unusedKeys: number;
}

/** Of the graphs that we write, and of exported ones as far as they tell. */
export function tensorsOf({ graphs }: Pick<ModelFolder, 'graphs'>): PartTensors {
  return Object.fromEntries(
    loraParts.flatMap((part) => {
      const graph = graphs[part];
      if (graph === undefined) return [];
      return [[part, typeof graph === 'object' ? graph.tensors : exportedWeights(graph)]];
    }),
  );
}

/**
 * @param scale the caller's
 * @throws ModelFolderError when it is not for this model
 */
export function matchLora(file: LoraFile, parts: PartTensors, scale: number): Matched {
  const changes: Partial<Record<LoraPart, Map<string, WeightChange>>> = {};
  let used = 0;
  const names = new Map<LoraPart, ReadonlyMap<string, string>>();
  for (const module of file.modules) {
    const { part } = module;
    const tensors = parts[part];
    if (!tensors) continue;
    const known = names.get(part) ?? weightsByModule(part, tensors);
    names.set(part, known);
    const weight = known.get(module.name);
    const own = changes[part] ?? new Map<string, WeightChange>();
    changes[part] = own;
    if (weight === undefined || own.has(weight)) continue;
    const shape = tensors.get(weight)!.shape;
    for (const each of module.factors) checkShape(module, each, weight, shape);
    if (module.kronecker) checkSides(module, module.kronecker, weight, shape);
    const { factors, kronecker } = module;
    own.set(weight, { scale: scale * strengthOf(file, module), factors, ...(kronecker && { kronecker }) });
    used += module.keys;
  }
  if (used < leastMatched * file.keys) {
    throw new ModelFolderError(
      `only ${used} of its ${file.keys} keys have a place in the model, and at least ${100 * leastMatched} % must`,
    );
  }
  return { changes, unusedKeys: file.keys - used };
}

/** Whatever is wrong with a LoRA is told with its name. */
export function naming<T>(name: string, match: () => T): T {
  try {
    return match();
  } catch (error) {
    if (!(error instanceof ModelFolderError)) throw error;
    throw new ModelFolderError(`the LoRA ${name} does not fit: ${error.message}`);
  }
}

/** alpha / rank */
function strengthOf({ alphas }: LoraFile, { part, name, rank, alpha }: LoraModule): number {
  const strength = alpha ? scalarOf(alpha) / rank : (alphas(part, name, rank) ?? 1);
  if (Number.isFinite(strength)) return strength;
  throw new ModelFolderError(`its module ${name.slice(0, 100)} has an alpha that is no number`);
}

function scalarOf(alpha: NonNullable<LoraModule['alpha']>): number {
  const descriptor = openSync(alpha.file, 'r');
  try {
    return numbersOf(descriptor, alpha)[0]!;
  } finally {
    closeSync(descriptor);
  }
}

/** Sides of a Kronecker product multiply to the weight's, and the second has its kernel. */
function checkSides(
  { name }: LoraModule,
  [left, right]: NonNullable<LoraModule['kronecker']>,
  weight: string,
  shape: readonly number[],
) {
  const count = (sides: readonly number[]) => sides.reduce((a, b) => a * b, 1);
  const [[a, b], [c, d]] = [sidesOf(left), sidesOf(right)];
  const kernel = count(shape.slice(2));
  if (a * c === shape[0] && b * d === count(shape.slice(1)) && d % kernel === 0) return;
  throw new ModelFolderError(
    `its module ${name.slice(0, 100)} changes a weight of ${a * c} x ${b * d} numbers, and ${weight} of the model is [${shape}]`,
  );
}

/** The products must have the weight's shape; sides of 1 do not count, as a 1 x 1 convolution is a linear layer. */
function checkShape(
  { name }: LoraModule,
  { up, upTransposed, down, core }: Factors,
  weight: string,
  shape: readonly number[],
) {
  const rank = down.shape[0]!;
  const count = (sides: readonly number[]) => sides.reduce((a, b) => a * b, 1);
  const [to, from, ...kernel] = shape as [number, number, ...number[]];
  const given = [count(up.shape) / rank, count(down.shape) / rank];
  const wanted = [to, core ? from : from * count(kernel)];
  const upFits = up.shape[upTransposed ? 1 : 0] === to && given[0] === to;
  const coreFits = !core || count(core.shape) === rank * rank * count(kernel);
  if (upFits && given[1] === wanted[1] && coreFits) return;
  throw new ModelFolderError(
    `its module ${name.slice(0, 100)} changes a weight of ${given.join(' x ')} numbers, and ${weight} of the model is [${shape}]`,
  );
}
