// A LoRA file -> its modules, each with the matrices that change it. It comes from strangers: what it says of itself is held
// against limits here, and against the model's weights in match.ts.

import { basename, dirname } from 'node:path';
import { checkFile } from '../folder/files.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import type { Factors, Side, WeightChange } from '../graphs/low-rank.js';
import { floats } from '../graphs/weights.js';
import { readHeader, type SafetensorsHeader, type TensorPlace } from '../safetensors/header.js';
import { type AdapterAlphas, adapterAlphas } from './adapter-metadata.js';
import { type LoraPart, parseKey, type Role, refusalOf } from './keys.js';

export const loraLimits = { bytes: 4 * 2 ** 30, header: 16 * 2 ** 20, tensors: 20_000, rank: 4096 } as const;

export interface LoraModule {
  readonly part: LoraPart;
  /** Its path in the file's words, dots as underscores. */
  readonly name: string;
  readonly factors: readonly Factors[];
  readonly kronecker?: WeightChange['kronecker'];
  readonly rank: number;
  /** A scalar in the file; its metadata may say it instead. */
  readonly alpha: TensorPlace | undefined;
  /** How many of the file's keys it has. */
  readonly keys: number;
}

export interface LoraFile {
  readonly modules: readonly LoraModule[];
  /** Keys that belong to none of them. */
  readonly otherKeys: number;
  readonly keys: number;
  readonly metadata: ReadonlyMap<string, string>;
  readonly alphas: AdapterAlphas;
}

/** @throws ModelFolderError with a sentence for whoever put the file there */
export function readLora(path: string): LoraFile {
  const { size } = checkFile(dirname(path), basename(path));
  if (size > loraLimits.bytes) {
    throw new ModelFolderError(`it has ${size} bytes; LoRAs of at most ${loraLimits.bytes} are read`);
  }
  try {
    return loraOf(readHeader(path, loraLimits.header));
  } catch (error) {
    if (error instanceof RangeError) throw new ModelFolderError(`it cannot be read: ${error.message}`);
    throw error;
  }
}

/** @throws ModelFolderError */
export function loraOf({ tensors, metadata }: SafetensorsHeader): LoraFile {
  if (tensors.size > loraLimits.tensors) {
    throw new ModelFolderError(`it has ${tensors.size} tensors; at most ${loraLimits.tensors} are read`);
  }
  const refusal = [...tensors.keys()].map(refusalOf).find((sentence) => sentence !== undefined);
  if (refusal) throw new ModelFolderError(refusal);
  const grouped = new Map<string, { part: LoraPart; name: string; roles: Map<Role, TensorPlace> }>();
  let otherKeys = 0;
  for (const [key, place] of tensors) {
    const parsed = parseKey(key);
    const id = parsed && `${parsed.part} ${parsed.module}`;
    const group = id === undefined ? undefined : grouped.get(id);
    if (!parsed || group?.roles.has(parsed.role)) otherKeys++;
    else if (group) group.roles.set(parsed.role, place);
    else grouped.set(id!, { part: parsed.part, name: parsed.module, roles: new Map([[parsed.role, place]]) });
  }
  if (grouped.size === 0) throw new ModelFolderError('it holds no LoRA that is known (known: LoRA, LoCon, LoHa, LoKr)');
  const modules = [...grouped.values()].map(({ part, name, roles }) => ({ part, name, ...moduleOf(name, roles) }));
  return { modules, otherKeys, keys: tensors.size, metadata, alphas: adapterAlphas(metadata) };
}

function moduleOf(name: string, roles: ReadonlyMap<Role, TensorPlace>): Omit<LoraModule, 'part' | 'name'> {
  const fail: Fail = (what) => {
    throw new ModelFolderError(`its module ${name.slice(0, 100)} ${what}`);
  };
  const take = (role: Role) => {
    const place = roles.get(role) ?? fail(`has no ${role}`);
    if (place.shape.length < 2) fail(`has a ${role} of shape [${place.shape}], which is no matrix`);
    if (!floats.includes(place.dtype)) fail(`has a ${role} of ${place.dtype} (supported: ${floats.join(', ')})`);
    return place;
  };
  const core = (role: Role) => (roles.has(role) ? { core: take(role) } : {});
  if (roles.has('lokr_w1') || roles.has('lokr_w1_a')) return lokrOf(roles, take, fail);
  const loha = roles.has('hada_w1_a');
  const factors: Factors[] = loha
    ? ([1, 2] as const).map((i) => {
        const tuckered = core(`hada_t${i}`);
        const transposed = 'core' in tuckered && { upTransposed: true };
        return { up: take(`hada_w${i}_a`), down: take(`hada_w${i}_b`), ...tuckered, ...transposed };
      })
    : [{ up: take('up'), down: take('down'), ...core('mid') }];
  const used = loha ? 4 + 2 * Number(roles.has('hada_t1')) : 2 + Number(roles.has('mid'));
  for (const each of factors) checkRank(each, fail);
  return { factors, rank: factors[0]!.down.shape[0]!, alpha: alphaOf(roles, used, fail), keys: roles.size };
}

type Fail = (what: string) => never;

/** @param used of the roles, without alpha: there must be no other */
function alphaOf(roles: ReadonlyMap<Role, TensorPlace>, used: number, fail: Fail): TensorPlace | undefined {
  const alpha = roles.get('alpha');
  if (roles.size !== used + Number(alpha !== undefined)) fail(`has tensors that do not belong together`);
  if (alpha && alpha.shape.reduce((a, b) => a * b, 1) !== 1) fail(`has an alpha of shape [${alpha.shape}]`);
  if (alpha && !floats.includes(alpha.dtype)) fail(`has an alpha of ${alpha.dtype}`);
  return alpha;
}

/** Each side is whole or in factors, the second one's perhaps with a core. Where both are whole, there is no rank and alpha says nothing. */
function lokrOf(roles: ReadonlyMap<Role, TensorPlace>, take: (role: Role) => TensorPlace, fail: Fail) {
  const side = (i: 1 | 2): Side => {
    if (roles.has(`lokr_w${i}`)) return { whole: take(`lokr_w${i}`) };
    const pair = { up: take(`lokr_w${i}_a`), down: take(`lokr_w${i}_b`) };
    const tuckered = i === 2 && roles.has('lokr_t2');
    const factors = tuckered ? { ...pair, core: take('lokr_t2'), upTransposed: true } : pair;
    checkRank(factors, fail);
    return factors;
  };
  const kronecker = [side(1), side(2)] as const;
  const pairs = kronecker.filter((each) => !('whole' in each)) as Factors[];
  const cores = pairs.filter(({ core }) => core).length;
  const alpha = alphaOf(roles, kronecker.length + pairs.length + cores, fail);
  const rank = pairs[0]?.down.shape[0];
  return { factors: [], kronecker, rank: rank ?? 1, alpha: rank && alpha ? alpha : undefined, keys: roles.size };
}

function checkRank({ up, upTransposed, down, core }: Factors, fail: Fail): void {
  const rank = down.shape[0]!;
  if (!(rank >= 1 && rank <= loraLimits.rank)) fail(`has the rank ${rank}; it must be from 1 to ${loraLimits.rank}`);
  if (up.shape[upTransposed ? 0 : 1] !== rank)
    fail(`has factors of [${up.shape}] and [${down.shape}], which do not multiply`);
  if (core && (core.shape[0] !== rank || core.shape[1] !== rank)) fail(`has a core of [${core.shape}] at rank ${rank}`);
}
