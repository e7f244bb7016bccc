// Models that people have and that do not run here: each by its name, with the reason. Sources: diffusers, pipelines/flux, flux2, sana,
// pixart_alpha, pixart_sigma, z_image and chroma; of Moebius the inputs of its published graphs.

export const refusals = {
  fluxFill: 'it is Flux Fill, whose transformer sees a mask and a masked picture in each token, which is not supported',
  fluxControl:
    'it is Flux Canny or Depth, whose transformer sees edges or depths in each token, which nothing here makes',
  fluxRedux: 'it is Flux Redux, which makes embeddings of pictures for another model, and no pictures',
  flux2:
    'it is FLUX.2, as klein is: its text encoder is a language model (Qwen3 or Mistral), and statistics of its VAE norm the latents, neither of which is supported',
  chroma: 'it is Chroma, a Flux whose modulation comes from a network of its own, which is not supported',
  sana: 'it is Sana, whose text encoder (Gemma 2) and autoencoder (DC-AE) are not supported',
  pixart:
    'it is PixArt, whose transformer takes a mask of its T5 and predicts variances too, and for which diffusers has no img2img',
  zImage: 'it is Z-Image, whose text encoder is a language model (Qwen3), which is not supported',
  moebius: 'it is Moebius, which takes away what a mask covers and knows no prompts: it has no text encoder',
} as const;
type Refused = keyof typeof refusals;

/** By names of pipelines' classes, without an exporter's prefix; the first that fits. */
const classes: readonly (readonly [className: RegExp, refused: Refused])[] = [
  [/^FluxFill/, 'fluxFill'],
  [/^FluxControl(Img2Img|Inpaint)?Pipeline$/, 'fluxControl'],
  [/^FluxPriorRedux/, 'fluxRedux'],
  [/^Flux2/, 'flux2'],
  [/^Chroma/, 'chroma'],
  [/^Sana/, 'sana'],
  [/^PixArt/, 'pixart'],
  [/^ZImage/, 'zImage'],
  [/^Moebius/, 'moebius'],
];

/** Why a pipeline that is known cannot run; undefined for any other. */
export const refusalOfClass = (className: string): string | undefined => sentence(classes, className);

/** By keys of a single file that no other model has; the first that fits. */
const keys: readonly (readonly [key: RegExp, refused: Refused])[] = [
  [/(^|\.)double_stream_modulation_img\./, 'flux2'],
  [/(^|\.)distilled_guidance_layer\./, 'chroma'],
  [/(^|\.)attention_y_norm\.weight$/, 'sana'],
  [/(^|\.)blocks\.\d+\.cross_attn\.q_linear\.weight$/, 'pixart'],
  [/(^|\.)noise_refiner\.\d+\.attention\.qkv\.weight$/, 'zImage'],
];

/** The same of a file, by one of its keys. */
export const refusalOfKey = (key: string): string | undefined => sentence(keys, key);

function sentence(table: readonly (readonly [pattern: RegExp, refused: Refused])[], text: string): string | undefined {
  const found = table.find(([pattern]) => pattern.test(text));
  return found && refusals[found[1]];
}
