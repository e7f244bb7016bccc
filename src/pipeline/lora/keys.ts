// The keys of LoRA files, as trainers write them -> which module of which part a tensor belongs to, and what it is there.
// Sources: kohya-ss/sd-scripts, networks/lora.py; diffusers, loaders/lora_conversion_utils.py; lycoris-lora, modules/.

export const loraParts = ['unet', 'text_encoder', 'text_encoder_2'] as const;
export type LoraPart = (typeof loraParts)[number];

export type Role =
  | 'down'
  | 'up'
  | 'mid'
  | 'alpha'
  | 'hada_w1_a'
  | 'hada_w1_b'
  | 'hada_w2_a'
  | 'hada_w2_b'
  | 'hada_t1'
  | 'hada_t2'
  | (typeof lokrRoles)[number];

const lokrRoles = ['lokr_w1', 'lokr_w1_a', 'lokr_w1_b', 'lokr_w2', 'lokr_w2_a', 'lokr_w2_b', 'lokr_t2'] as const;

export interface LoraKey {
  readonly part: LoraPart;
  /** The module's path in the file's words, its dots as underscores. */
  readonly module: string;
  readonly role: Role;
}

/** The first that fits. Names before `down` belong to the module in none of them. */
const ends: readonly (readonly [end: RegExp, role: Role])[] = [
  [/\.lora_(?:down|A)(?:\.\w+)?\.weight$/, 'down'],
  [/\.lora_(?:up|B)(?:\.\w+)?\.weight$/, 'up'],
  [/(?:\.lora|_lora|\.lora_linear_layer)\.down\.weight$/, 'down'],
  [/(?:\.lora|_lora|\.lora_linear_layer)\.up\.weight$/, 'up'],
  [/\.lora_mid\.weight$/, 'mid'],
  [/\.alpha$/, 'alpha'],
  ...(['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b', 'hada_t1', 'hada_t2', ...lokrRoles] as const).map(
    (role): [RegExp, Role] => [new RegExp(`\\.${role}$`), role],
  ),
];

const starts: readonly (readonly [start: string, part: LoraPart])[] = [
  ['lora_unet_', 'unet'],
  ['lora_te1_', 'text_encoder'],
  ['lora_te2_', 'text_encoder_2'],
  ['lora_te_', 'text_encoder'],
  ['unet.', 'unet'],
  ['text_encoder.', 'text_encoder'],
  ['text_encoder_2.', 'text_encoder_2'],
  ['diffusion_model.', 'unet'],
  ['base_model.model.', 'unet'],
];

/** Keys of formulas that are not computed here: a file that has one is refused whole, since without it the rest is another change. */
const refused: readonly (readonly [key: RegExp, sentence: string])[] = [
  [/\.(dora_scale|lora_magnitude_vector)/, 'it is a DoRA, which is not supported (supported: LoRA, LoCon, LoHa, LoKr)'],
  [/\.oft_|\.boft_/, 'it is an OFT, which is not supported (supported: LoRA, LoCon, LoHa, LoKr)'],
  [/(double|single)_?blocks?[._]/, 'it is for Flux models, whose LoRAs are not supported'],
  [
    /joint_?blocks?[._]|^(lora_)?transformer[._]/,
    'it is for models with a diffusion transformer, whose LoRAs are not supported',
  ],
  [/^model\.diffusion_model\..*\.in_layers\.\d\.weight$/, 'it is a whole model, which belongs into MODELS_DIR'],
];

/** @returns why a file with this key is none that can be used, in a sentence without its end */
export const refusalOf = (key: string): string | undefined => refused.find(([pattern]) => pattern.test(key))?.[1];

/** @returns undefined for what is no tensor of a LoRA */
export function parseKey(key: string): LoraKey | undefined {
  const end = ends.find(([pattern]) => pattern.test(key));
  const start = starts.find(([prefix]) => key.startsWith(prefix));
  if (!end || !start) return undefined;
  const module = key.replace(end[0], '').slice(start[0].length);
  return { part: start[1], module: flattened(withoutProcessor(module)), role: end[1] };
}

/** diffusers' first files name the processor of an attention: `attn1.processor.to_out`, `self_attn.to_q`. */
function withoutProcessor(module: string): string {
  return module
    .replace(/\.processor\.to_out$/, '.to_out.0')
    .replace('.processor.', '.')
    .replace(/self_attn\.to_(q|k|v|out)$/, 'self_attn.$1_proj');
}

export const flattened = (path: string): string => path.replaceAll('.', '_');
