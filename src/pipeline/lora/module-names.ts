// What trainers call the modules of a model: diffusers' paths with underscores, or the original layout's.

import { flattened, type LoraPart } from './keys.js';

/** Of a part's weights, by the names that diffusers gives them. */
export type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

const weightEnd = '.weight';

/** Every name of a module -> its weight, for the weights that can be changed: matrices and convolutions. */
export function weightsByModule(part: LoraPart, tensors: Shapes): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const weights = [...tensors].flatMap(([name, { shape }]) =>
    name.endsWith(weightEnd) && shape.length >= 2 && !name.includes('embeddings.')
      ? [name.slice(0, -weightEnd.length)]
      : [],
  );
  const original = part === 'unet' ? originalNames(tensors) : () => undefined;
  for (const module of weights) {
    const others = part === 'unet' ? original(module) : module.replace(/^text_model\./, '');
    for (const name of [module, others]) if (name !== undefined) names.set(flattened(name), module + weightEnd);
  }
  return names;
}

const unetEnds: Readonly<Record<string, string>> = {
  conv_in: 'input_blocks.0.0',
  conv_out: 'out.2',
  'time_embedding.linear_1': 'time_embed.0',
  'time_embedding.linear_2': 'time_embed.2',
  'add_embedding.linear_1': 'label_emb.0.0',
  'add_embedding.linear_2': 'label_emb.0.2',
};
const resnetNames: Readonly<Record<string, string>> = {
  conv1: 'in_layers.2',
  conv2: 'out_layers.3',
  time_emb_proj: 'emb_layers.1',
  conv_shortcut: 'skip_connection',
};

/** diffusers' name of a UNet's module -> the original layout's, which numbers its blocks through (checkpoint/original-layout has the way back). */
function originalNames(tensors: Shapes): (module: string) => string | undefined {
  const resnets = new Set(
    [...tensors.keys()].flatMap((name) => /^down_blocks\.0\.resnets\.(\d+)\./.exec(name)?.[1] ?? []),
  );
  const perLevel = resnets.size + 1;
  const attentions = new Set(
    [...tensors.keys()].flatMap((name) => /^up_blocks\.(\d+)\.attentions\./.exec(name)?.[1] ?? []),
  );
  const renamed = (kind: string, rest: string) => (kind === 'resnets' ? (resnetNames[rest] ?? rest) : rest);
  return (module) => {
    const middle = /^mid_block\.(resnets|attentions)\.(\d+)\.(.*)$/.exec(module);
    if (middle) {
      const [, kind, number, rest] = middle;
      return `middle_block.${kind === 'attentions' ? 1 : 2 * Number(number)}.${renamed(kind!, rest!)}`;
    }
    const match = /^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)$/.exec(module);
    if (!match) return unetEnds[module];
    const [, way, level, kind, number, rest] = match;
    const first = perLevel * Number(level);
    if (kind === 'downsamplers') return `input_blocks.${first + perLevel}.0.op`;
    if (kind === 'upsamplers') return `output_blocks.${first + perLevel - 1}.${attentions.has(level!) ? 2 : 1}.conv`;
    const block =
      way === 'down' ? `input_blocks.${first + Number(number) + 1}` : `output_blocks.${first + Number(number)}`;
    return `${block}.${kind === 'attentions' ? 1 : 0}.${renamed(kind!, rest!)}`;
  };
}
