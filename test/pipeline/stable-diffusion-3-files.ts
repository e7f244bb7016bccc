// Small Stable Diffusion 3 and 3.5 models as folders and as single files, as test/reference/stable_diffusion_3_files.py made them.

import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { clipFolder } from '../../src/pipeline/clip-vocabulary.js';
import { type Case, reference } from './cases.js';
import { encoded, values, type WeightType, weightsName } from './checkpoints.js';
import { type WrittenTensor, writeSafetensors } from './safetensors/write.js';
import { json, golden as withTokenizer } from './stable-diffusion-3.js';

export const sd3Files = ['sd3', 'sd35-large', 'sd35-medium'] as const;
export type Sd3File = (typeof sd3Files)[number];
type Shapes = Readonly<Record<string, readonly number[]>>;

export type Original = readonly [
  name: string,
  shape: readonly number[],
  part: string,
  sources: readonly string[],
  /** Its halves are turned round. */
  turned: boolean,
];

interface Golden {
  readonly families: Readonly<
    Record<
      Sd3File,
      {
        readonly files: Readonly<Record<string, object>>;
        readonly tensors: Readonly<Record<string, Shapes>>;
        readonly original: readonly Original[];
      }
    >
  >;
  readonly cases: readonly (Case & { readonly family: Sd3File })[];
}

export const golden: Golden = JSON.parse(
  gunzipSync(readFileSync(reference('stable_diffusion_3_files.json.gz'))).toString(),
);

/** The first CLIP's projection is the identity. */
function numbersOf(part: string, name: string, shape: readonly number[]): Float32Array {
  if (part !== 'text_encoder' || name !== 'text_projection.weight') return values(name, shape);
  const width = shape[0]!;
  return Float32Array.from({ length: width ** 2 }, (_, i) => (i % (width + 1) === 0 ? 1 : 0));
}

const made = new Map<string, WrittenTensor>();

function tensorOf(part: string, name: string, shape: readonly number[], type: WeightType): WrittenTensor {
  const key = `${part} ${name} ${shape} ${type}`;
  const tensor = made.get(key) ?? { shape, ...encoded(numbersOf(part, name, shape), type) };
  made.set(key, tensor);
  return tensor;
}

/** @param parts with weights, and their tokenizers */
export function writeSd3Parts(folder: string, family: Sd3File, parts: readonly string[], type: WeightType): string {
  const { files, tensors } = golden.families[family];
  for (const part of parts) {
    json(folder, `${part}/config.json`, files[`${part}/config.json`]!);
    const all = Object.entries(tensors[part]!).map(([name, shape]) => [name, tensorOf(part, name, shape, type)]);
    writeSafetensors(join(folder, part, weightsName(part)), Object.fromEntries(all), { format: 'pt' });
    if (part.startsWith('text_encoder')) writeTokenizer(folder, part.replace('text_encoder', 'tokenizer'));
  }
  return folder;
}

export function writeTokenizer(folder: string, name: string): void {
  if (name === 'tokenizer_3') {
    json(folder, 'tokenizer_3/tokenizer.json', withTokenizer.tokenizer);
    return;
  }
  json(folder, `${name}/tokenizer_config.json`, {
    pad_token: name === 'tokenizer' ? '<|endoftext|>' : '!',
    model_max_length: 77,
  });
  cpSync(join(clipFolder, 'merges.txt'), join(folder, name, 'merges.txt'));
}

export const encoders = ['text_encoder', 'text_encoder_2', 'text_encoder_3'] as const;

/** As diffusers' save_pretrained writes it. @param own text encoders that it has */
export function writeSd3(
  folder: string,
  family: Sd3File,
  own: readonly string[] = encoders,
  type: WeightType = 'float32',
): string {
  const { files } = golden.families[family];
  for (const file of ['model_index.json', 'scheduler/scheduler_config.json']) json(folder, file, files[file]!);
  return writeSd3Parts(folder, family, ['transformer', 'vae', ...own], type);
}

/** The same weights in the original layout. @param own text encoders that it has @param change of its tensors, by name */
export function writeSd3File(
  path: string,
  family: Sd3File,
  own: readonly string[] = encoders,
  type: WeightType = 'float32',
  change: Readonly<Record<string, WrittenTensor | undefined>> = {},
): string {
  const { tensors, original } = golden.families[family];
  const written = original
    .filter(([, , part]) => !part.startsWith('text_encoder') || own.includes(part))
    .map(([name, shape, part, sources, turned]): [string, WrittenTensor] => {
      const pieces = sources.map((source) => tensorOf(part, source, tensors[part]![source]!, type));
      const data = Buffer.concat(pieces.map((piece) => piece.data));
      const halves = [data.subarray(data.length / 2), data.subarray(0, data.length / 2)];
      return [name, { shape, dtype: pieces[0]!.dtype, data: turned ? Buffer.concat(halves) : data }];
    });
  const all = Object.entries({ ...Object.fromEntries(written), ...change }).filter(([, tensor]) => tensor);
  writeSafetensors(path, Object.fromEntries(all) as Record<string, WrittenTensor>);
  return path;
}
