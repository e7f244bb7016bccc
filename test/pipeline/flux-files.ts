// The small Flux.1 models of flux.ts as single files, in the layout of Black Forest Labs and with what ComfyUI puts beside it.

import type { WeightType } from './checkpoints.js';
import { type FluxFamily, fluxTensors } from './flux.js';
import { type WrittenTensor, writeSafetensors } from './safetensors/write.js';

type Tensors = ReadonlyMap<string, WrittenTensor>;

/** Of the original layout, each with the layers that it is made of, row after row. */
const outside: Readonly<Record<string, readonly string[]>> = {
  img_in: ['x_embedder'],
  txt_in: ['context_embedder'],
  'time_in.in_layer': ['time_text_embed.timestep_embedder.linear_1'],
  'time_in.out_layer': ['time_text_embed.timestep_embedder.linear_2'],
  'guidance_in.in_layer': ['time_text_embed.guidance_embedder.linear_1'],
  'guidance_in.out_layer': ['time_text_embed.guidance_embedder.linear_2'],
  'vector_in.in_layer': ['time_text_embed.text_embedder.linear_1'],
  'vector_in.out_layer': ['time_text_embed.text_embedder.linear_2'],
  'final_layer.linear': ['proj_out'],
  'final_layer.adaLN_modulation.1': ['norm_out.linear'],
};
const double: Readonly<Record<string, readonly string[]>> = {
  'img_mod.lin': ['norm1.linear'],
  'txt_mod.lin': ['norm1_context.linear'],
  'img_attn.qkv': ['attn.to_q', 'attn.to_k', 'attn.to_v'],
  'txt_attn.qkv': ['attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'],
  'img_attn.norm.query_norm': ['attn.norm_q'],
  'img_attn.norm.key_norm': ['attn.norm_k'],
  'txt_attn.norm.query_norm': ['attn.norm_added_q'],
  'txt_attn.norm.key_norm': ['attn.norm_added_k'],
  'img_attn.proj': ['attn.to_out.0'],
  'txt_attn.proj': ['attn.to_add_out'],
  'img_mlp.0': ['ff.net.0.proj'],
  'img_mlp.2': ['ff.net.2'],
  'txt_mlp.0': ['ff_context.net.0.proj'],
  'txt_mlp.2': ['ff_context.net.2'],
};
const single: Readonly<Record<string, readonly string[]>> = {
  'modulation.lin': ['norm.linear'],
  linear1: ['attn.to_q', 'attn.to_k', 'attn.to_v', 'proj_mlp'],
  linear2: ['proj_out'],
  'norm.query_norm': ['attn.norm_q'],
  'norm.key_norm': ['attn.norm_k'],
};

function joined(tensors: Tensors, sources: readonly string[], which: string): WrittenTensor | undefined {
  const parts = sources.map((source) => tensors.get(`${source}.${which}`));
  if (!parts[0]) return undefined;
  const [, ...rest] = parts[0].shape;
  const rows = parts.reduce((sum, part) => sum + part!.shape[0]!, 0);
  return { dtype: parts[0].dtype, shape: [rows, ...rest], data: Buffer.concat(parts.map((part) => part!.data)) };
}

/** The final layer shifts before it scales. */
function turned({ data, ...tensor }: WrittenTensor): WrittenTensor {
  const half = data.length / 2;
  return { ...tensor, data: Buffer.concat([data.subarray(half), data.subarray(0, half)]) };
}

/** By the names of the original layout. */
export function originalTransformer(family: FluxFamily, type: WeightType = 'float32'): Map<string, WrittenTensor> {
  const tensors: Tensors = new Map(fluxTensors(family, 'transformer', type));
  const result = new Map<string, WrittenTensor>();
  const put = (name: string, sources: readonly string[]) => {
    for (const which of ['weight', 'bias']) {
      const tensor = joined(tensors, sources, which);
      if (!tensor) continue;
      const own = /_norm$/.test(name) ? 'scale' : which;
      result.set(`${name}.${own}`, name.startsWith('final_layer.adaLN') ? turned(tensor) : tensor);
    }
  };
  for (const [name, sources] of Object.entries(outside)) put(name, sources);
  for (const [table, to, from] of [
    [double, 'double_blocks', 'transformer_blocks'],
    [single, 'single_blocks', 'single_transformer_blocks'],
  ] as const) {
    for (const layer of [0, 1]) {
      for (const [name, sources] of Object.entries(table)) {
        put(
          `${to}.${layer}.${name}`,
          sources.map((source) => `${from}.${layer}.${source}`),
        );
      }
    }
  }
  return result;
}

/** The VAE's, which counts the decoder's levels from the picture and has convolutions for its attention. */
export function originalVae(family: FluxFamily, type: WeightType = 'float32'): Map<string, WrittenTensor> {
  const levels = 3;
  return new Map(
    fluxTensors(family, 'vae', type).map(([name, tensor]) => {
      const to = name
        .replace('.conv_norm_out.', '.norm_out.')
        .replace(/\.down_blocks\.(\d)\.resnets\.(\d)\./, '.down.$1.block.$2.')
        .replace(/\.down_blocks\.(\d)\.downsamplers\.0\./, '.down.$1.downsample.')
        .replace(/\.up_blocks\.(\d)\./, (_, i: string) => `.up.${levels - 1 - Number(i)}.`)
        .replace(/(\.up\.\d)\.resnets\.(\d)\./, '$1.block.$2.')
        .replace('.upsamplers.0.', '.upsample.')
        .replace(/\.mid_block\.resnets\.(\d)\./, (_, i: string) => `.mid.block_${Number(i) + 1}.`)
        .replace('.mid_block.attentions.0.', '.mid.attn_1.')
        .replace('.conv_shortcut.', '.nin_shortcut.')
        .replace('.attn_1.group_norm.', '.attn_1.norm.')
        .replace(/\.attn_1\.to_([qkv])\./, '.attn_1.$1.')
        .replace('.attn_1.to_out.0.', '.attn_1.proj_out.');
      const isLinear = /\.attn_1\..*weight$/.test(to) && tensor.shape.length === 2;
      return [to, isLinear ? { ...tensor, shape: [...tensor.shape, 1, 1] } : tensor];
    }),
  );
}

const below = (prefix: string, tensors: Iterable<readonly [string, WrittenTensor]>) =>
  [...tensors].map(([name, tensor]) => [prefix + name, tensor] as const);

/** The transformer alone, as Black Forest Labs publishes it. */
export function writeLoneTransformer(
  path: string,
  family: FluxFamily,
  type: WeightType = 'float32',
  change: Readonly<Record<string, WrittenTensor>> = {},
): string {
  writeSafetensors(path, { ...Object.fromEntries(originalTransformer(family, type)), ...change });
  return path;
}

/** All in one file, as ComfyUI saves it. */
export function writeWholeFile(path: string, family: FluxFamily, type: WeightType = 'float32'): string {
  const all = [
    ...below('model.diffusion_model.', originalTransformer(family, type)),
    ...below('vae.', originalVae(family, type)),
    ...below('text_encoders.clip_l.transformer.', fluxTensors(family, 'text_encoder', type)),
    ...below('text_encoders.t5xxl.transformer.', fluxTensors(family, 'text_encoder_2', type)),
  ];
  writeSafetensors(path, Object.fromEntries(all));
  return path;
}
