// The alphas that diffusers writes into a file's metadata instead of tensors. Source: diffusers, loaders/lora_base.py
// (`lora_adapter_metadata`); peft, tuners/lora/layer.py for `use_rslora`, utils/other.py for patterns.

import type { Json } from '../folder/configs.js';
import { flattened, type LoraPart } from './keys.js';

/** @returns what the product is multiplied with beside the caller's scale; undefined where the metadata says nothing */
export type AdapterAlphas = (part: LoraPart, module: string, rank: number) => number | undefined;

const longest = 2 ** 20;

export function adapterAlphas(metadata: ReadonlyMap<string, string>): AdapterAlphas {
  const text = metadata.get('lora_adapter_metadata') ?? '';
  const config = text.length <= longest ? parsed(text) : {};
  return (part, module, rank) => {
    const alpha = patternOf(config[`${part}.alpha_pattern`], module) ?? config[`${part}.lora_alpha`];
    if (typeof alpha !== 'number' || !Number.isFinite(alpha)) return undefined;
    return alpha / (config[`${part}.use_rslora`] === true ? Math.sqrt(rank) : rank);
  };
}

/** Keys are module paths, or their ends. */
function patternOf(pattern: unknown, module: string): unknown {
  if (typeof pattern !== 'object' || pattern === null) return undefined;
  return Object.entries(pattern).find(([key]) => {
    const name = flattened(key);
    return module === name || module.endsWith(`_${name}`);
  })?.[1];
}

function parsed(text: string): Json {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null ? json : {};
  } catch {
    return {};
  }
}
