// Small Flux.1 models, as test/reference/flux.py made them.

import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { clipFolder } from '../../src/pipeline/clip-vocabulary.js';
import { type Case, reference } from './cases.js';
import type { WeightType } from './checkpoints.js';
import type { WrittenTensor } from './safetensors/write.js';
import { json, golden as sd3, tensorOf, writeWeights } from './stable-diffusion-3.js';

export const fluxFamilies = ['flux-dev', 'flux-schnell', 'flux-kontext'] as const;
export type FluxFamily = (typeof fluxFamilies)[number];

interface FluxCase extends Case {
  readonly family: FluxFamily;
}

interface Golden {
  /** By which the weights of the transformer are more than those of other models. */
  readonly gains: Readonly<Record<string, number>>;
  /** optimum's export of the transformer of flux-dev, in base64. */
  readonly transformer: string;
  readonly families: Readonly<
    Record<
      FluxFamily,
      {
        readonly files: Readonly<Record<string, object>>;
        readonly tensors: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
      }
    >
  >;
  readonly cases: readonly FluxCase[];
}

export const golden: Golden = JSON.parse(gunzipSync(readFileSync(reference('flux.json.gz'))).toString());

export const casesOf = (name: FluxFamily): readonly FluxCase[] => golden.cases.filter(({ family }) => family === name);

/** By their names. */
export function fluxTensors(family: FluxFamily, part: string, type: WeightType = 'float32') {
  const shapes = Object.entries(golden.families[family].tensors[part]!);
  return shapes.map(([name, shape]): [string, WrittenTensor] => {
    const gain = part === 'transformer' ? golden.gains[name] : undefined;
    return [name, tensorOf(name, shape, type, gain)];
  });
}

/** A folder as diffusers' save_pretrained writes it, transformer and T5 in two files each. */
export function writeFluxFolder(folder: string, family: FluxFamily, type: WeightType = 'float32'): string {
  const { files, tensors } = golden.families[family];
  for (const [file, value] of Object.entries(files)) json(folder, file, value);
  json(folder, 'tokenizer/tokenizer_config.json', { pad_token: '<|endoftext|>', model_max_length: 77 });
  cpSync(join(clipFolder, 'merges.txt'), join(folder, 'tokenizer', 'merges.txt'));
  json(folder, 'tokenizer_2/tokenizer.json', sd3.tokenizer);
  for (const part of Object.keys(tensors)) {
    writeWeights(folder, part, fluxTensors(family, part, type), part === 'transformer' || part === 'text_encoder_2');
  }
  return folder;
}
