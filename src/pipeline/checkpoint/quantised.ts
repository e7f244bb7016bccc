// Weights of fewer bits, which need scales that only their own programs know.

import { ModelFolderError } from '../folder/model-folder-error.js';
import type { Dtype } from '../safetensors/header.js';

const remedy = 'which is not supported; take the version in fp16 or bf16';

/** The tensors that bitsandbytes keeps beside each weight. */
export const bitsandbytes = /\.quant_state\.bitsandbytes__|\.absmax$/;
export const byBitsandbytes = `quantised by bitsandbytes (nf4 or fp4), ${remedy}`;

/** @throws ModelFolderError that names the format. @param part for the sentence */
export function refuseQuantised(part: string, tensors: ReadonlyMap<string, { readonly dtype: Dtype }>): void {
  for (const [name, { dtype }] of tensors) {
    if (dtype.startsWith('F8_')) throw new ModelFolderError(`its ${part} is in fp8 (${dtype}), ${remedy}`);
    if (bitsandbytes.test(name)) throw new ModelFolderError(`its ${part} is ${byBitsandbytes}`);
  }
}
