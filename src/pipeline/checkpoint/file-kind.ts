// What a safetensors file is, by keys that tell: a whole model, or why it is none, in a sentence for whoever put it there.

import { refusalOfKey } from '../families/refused.js';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { bitsandbytes, byBitsandbytes } from './quantised.js';
import type { Tensors } from './written-part.js';

export const unetPrefix = 'model.diffusion_model.';
export const vaePrefix = 'first_stage_model.';

const supported = 'supported are Stable Diffusion 1.x, 2.x, XL and 3, and Flux.1';

export const controlNet = 'it is a ControlNet, which is not supported';
export const tinyAlone =
  "it is a tiny autoencoder without a model; it belongs into a model's folder, as vae_tiny/ or named by tiny_vae in img2img.json";

/** The first that fits. */
const others: readonly (readonly [key: RegExp, sentence: string])[] = [
  [bitsandbytes, `it is ${byBitsandbytes}`],
  [
    /^joint_blocks\./,
    `it is the transformer of Stable Diffusion 3 alone; take the file that has the VAE too, whose keys begin with ${unetPrefix}`,
  ],
  [/^edm_mean$/, `it is Playground 2.5, whose noise schedule is not supported; ${supported}`],
  [/^(control_model|controlnet_cond_embedding|input_hint_block)\./, controlNet],
  [
    /^lora_|\.lora_(down|up|A|B)\.|\.lora\.(down|up)\.|\.(hada_w1_a|lokr_w1)$/,
    'it is a LoRA, which changes a model and is none itself; it belongs into the folder of LoRAs (loras/ in MODELS_DIR, or LORAS_DIR)',
  ],
  [/^((decoder|encoder)\.layers\.)?\d+\.conv\.0\.weight$/, tinyAlone],
  [
    /^(emb_params|string_to_param|clip_l|clip_g|<.*>)$/,
    'it is an embedding, which prompts name; it belongs into the folder of embeddings (embeddings/ in MODELS_DIR, or EMBEDDINGS_DIR)',
  ],
];
export const vaeAlone =
  "it is a VAE without a model; it belongs into a folder in diffusers' layout, as vae/diffusion_pytorch_model.safetensors beside its config.json";
export const partAlone =
  "it is a part of a model in diffusers' layout; it belongs into a folder with the other parts and model_index.json";

/** Flux' transformer is published without a prefix too. */
const fluxKey = 'double_blocks.0.img_attn.qkv.weight';

/** Of a UNet and of transformers. */
const tells = ['input_blocks.0.0.weight', 'x_embedder.proj.weight', fluxKey];

/** @throws ModelFolderError when the file is not a whole Stable Diffusion model in the original layout */
export function checkIsModel(tensors: Tensors): void {
  const names = [...tensors.keys()];
  const refused = names.map(refusalOfKey).find((sentence) => sentence !== undefined);
  if (refused !== undefined) throw new ModelFolderError(refused);
  const other = others.find(([key]) => names.some((name) => key.test(name)));
  if (other) throw new ModelFolderError(other[1]);
  if (tensors.has(fluxKey) || tells.some((key) => tensors.has(unetPrefix + key))) return;
  const starts = (prefix: string) => names.some((name) => name.startsWith(prefix));
  const sentence =
    starts('decoder.conv_in.') || starts(vaePrefix)
      ? vaeAlone
      : ['down_blocks.', 'transformer_blocks.', 'text_model.'].some(starts)
        ? partAlone
        : `it holds no model that is known; ${supported}, in the original layout`;
  throw new ModelFolderError(sentence);
}
