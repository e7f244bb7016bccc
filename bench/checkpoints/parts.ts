// Names and shapes of what checkpoints of several families hold: layers, the VAE, CLIP's text model.

export type Shapes = Readonly<Record<string, readonly number[]>>;

export const norm = (name: string, width: number) => ({ [`${name}.weight`]: [width], [`${name}.bias`]: [width] });
export const linear = (name: string, from: number, to: number) => ({
  [`${name}.weight`]: [to, from],
  [`${name}.bias`]: [to],
});
export const conv = (name: string, from: number, to: number, kernel = 3) => ({
  [`${name}.weight`]: [to, from, kernel, kernel],
  [`${name}.bias`]: [to],
});

/** @param latents channels of them @param quantizes whether a 1 x 1 convolution stands on either side of them */
export function vae(
  prefix: string,
  latents = 4,
  quantizes = true,
  widths: readonly number[] = [128, 256, 512, 512],
): Shapes {
  const first = widths[0]!;
  const last = widths.at(-1)!;
  const block = (name: string, from: number, to: number): Shapes => ({
    ...norm(`${name}.norm1`, from),
    ...conv(`${name}.conv1`, from, to),
    ...norm(`${name}.norm2`, to),
    ...conv(`${name}.conv2`, to, to),
    ...(from === to ? {} : conv(`${name}.nin_shortcut`, from, to, 1)),
  });
  const middle = (name: string): Shapes => ({
    ...block(`${name}.block_1`, last, last),
    ...norm(`${name}.attn_1.norm`, last),
    ...['q', 'k', 'v', 'proj_out'].reduce(
      (all, k) => Object.assign(all, conv(`${name}.attn_1.${k}`, last, last, 1)),
      {},
    ),
    ...block(`${name}.block_2`, last, last),
  });
  const shapes: Record<string, readonly number[]> = {};
  let width = first;
  for (const [level, wide] of widths.entries()) {
    for (let i = 0; i < 2; i++) {
      Object.assign(shapes, block(`${prefix}encoder.down.${level}.block.${i}`, width, wide));
      width = wide;
    }
    if (level < 3) Object.assign(shapes, conv(`${prefix}encoder.down.${level}.downsample.conv`, wide, wide));
  }
  for (const [up, wide] of widths.toReversed().entries()) {
    const level = 3 - up;
    for (let i = 0; i < 3; i++) {
      Object.assign(shapes, block(`${prefix}decoder.up.${level}.block.${i}`, width, wide));
      width = wide;
    }
    if (level > 0) Object.assign(shapes, conv(`${prefix}decoder.up.${level}.upsample.conv`, wide, wide));
  }
  return {
    ...shapes,
    ...conv(`${prefix}encoder.conv_in`, 3, first),
    ...middle(`${prefix}encoder.mid`),
    ...norm(`${prefix}encoder.norm_out`, last),
    ...conv(`${prefix}encoder.conv_out`, last, 2 * latents),
    ...(quantizes && {
      ...conv(`${prefix}quant_conv`, 2 * latents, 2 * latents, 1),
      ...conv(`${prefix}post_quant_conv`, latents, latents, 1),
    }),
    ...conv(`${prefix}decoder.conv_in`, latents, last),
    ...middle(`${prefix}decoder.mid`),
    ...norm(`${prefix}decoder.norm_out`, first),
    ...conv(`${prefix}decoder.conv_out`, first, 3),
  };
}

/** CLIP's text model by transformers' names; by default that of the first Stable Diffusion. */
export function clip(prefix: string, width = 768, layers = 12): Shapes {
  const shapes: Record<string, readonly number[]> = {
    [`${prefix}embeddings.token_embedding.weight`]: [49408, width],
    [`${prefix}embeddings.position_embedding.weight`]: [77, width],
    ...norm(`${prefix}final_layer_norm`, width),
  };
  for (let i = 0; i < layers; i++) {
    const layer = `${prefix}encoder.layers.${i}`;
    for (const name of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) {
      Object.assign(shapes, linear(`${layer}.self_attn.${name}`, width, width));
    }
    Object.assign(shapes, norm(`${layer}.layer_norm1`, width), norm(`${layer}.layer_norm2`, width));
    Object.assign(shapes, linear(`${layer}.mlp.fc1`, width, 4 * width), linear(`${layer}.mlp.fc2`, 4 * width, width));
  }
  return shapes;
}
