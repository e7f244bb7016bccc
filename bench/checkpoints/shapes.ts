// Names and shapes of a checkpoint's tensors in the original layout, in the true dimensions of Stable Diffusion 1.5.
// Source: CompVis' v1-inference.yaml and openaimodel.py; 1,066 million parameters.

export type Shapes = Readonly<Record<string, readonly number[]>>;

const channels = [320, 640, 1280, 1280] as const;
const timeWidth = 1280;
const contextWidth = 768;

const norm = (name: string, width: number) => ({ [`${name}.weight`]: [width], [`${name}.bias`]: [width] });
const linear = (name: string, from: number, to: number) => ({
  [`${name}.weight`]: [to, from],
  [`${name}.bias`]: [to],
});
const conv = (name: string, from: number, to: number, kernel = 3) => ({
  [`${name}.weight`]: [to, from, kernel, kernel],
  [`${name}.bias`]: [to],
});

function resnet(name: string, from: number, to: number): Shapes {
  return {
    ...norm(`${name}.in_layers.0`, from),
    ...conv(`${name}.in_layers.2`, from, to),
    ...linear(`${name}.emb_layers.1`, timeWidth, to),
    ...norm(`${name}.out_layers.0`, to),
    ...conv(`${name}.out_layers.3`, to, to),
    ...(from === to ? {} : conv(`${name}.skip_connection`, from, to, 1)),
  };
}

function transformer(name: string, width: number): Shapes {
  const block = `${name}.transformer_blocks.0`;
  const attention = (which: string, context: number): Shapes => ({
    [`${block}.${which}.to_q.weight`]: [width, width],
    [`${block}.${which}.to_k.weight`]: [width, context],
    [`${block}.${which}.to_v.weight`]: [width, context],
    ...linear(`${block}.${which}.to_out.0`, width, width),
  });
  return {
    ...norm(`${name}.norm`, width),
    ...conv(`${name}.proj_in`, width, width, 1),
    ...attention('attn1', width),
    ...attention('attn2', contextWidth),
    ...linear(`${block}.ff.net.0.proj`, width, 8 * width),
    ...linear(`${block}.ff.net.2`, 4 * width, width),
    ...[1, 2, 3].reduce((all, i) => Object.assign(all, norm(`${block}.norm${i}`, width)), {}),
    ...conv(`${name}.proj_out`, width, width, 1),
  };
}

/** Two residual blocks to a level on the way down, three on the way up, each of which takes what one on the way down left. */
function unet(prefix: string): Shapes {
  const shapes: Record<string, readonly number[]> = {
    ...linear(`${prefix}time_embed.0`, channels[0], timeWidth),
    ...linear(`${prefix}time_embed.2`, timeWidth, timeWidth),
    ...conv(`${prefix}input_blocks.0.0`, 4, channels[0]),
  };
  const last = channels.length - 1;
  const left: number[] = [channels[0]];
  let width: number = channels[0];
  for (const [level, wide] of channels.entries()) {
    for (let i = 0; i < 2; i++) {
      const block = `${prefix}input_blocks.${left.length}`;
      Object.assign(shapes, resnet(`${block}.0`, width, wide), level < last && transformer(`${block}.1`, wide));
      left.push(wide);
      width = wide;
    }
    if (level < last) {
      Object.assign(shapes, conv(`${prefix}input_blocks.${left.length}.0.op`, wide, wide));
      left.push(wide);
    }
  }
  const middle = `${prefix}middle_block`;
  Object.assign(shapes, resnet(`${middle}.0`, width, width), transformer(`${middle}.1`, width));
  Object.assign(shapes, resnet(`${middle}.2`, width, width));
  let block = 0;
  for (const [up, wide] of channels.toReversed().entries()) {
    for (let i = 0; i < 3; i++, block++) {
      const name = `${prefix}output_blocks.${block}`;
      Object.assign(shapes, resnet(`${name}.0`, width + left.pop()!, wide), up > 0 && transformer(`${name}.1`, wide));
      if (i === 2 && up < last) Object.assign(shapes, conv(`${name}.${up > 0 ? 2 : 1}.conv`, wide, wide));
      width = wide;
    }
  }
  return { ...shapes, ...norm(`${prefix}out.0`, channels[0]), ...conv(`${prefix}out.2`, channels[0], 4) };
}

function vae(prefix: string): Shapes {
  const widths = [128, 256, 512, 512] as const;
  const block = (name: string, from: number, to: number): Shapes => ({
    ...norm(`${name}.norm1`, from),
    ...conv(`${name}.conv1`, from, to),
    ...norm(`${name}.norm2`, to),
    ...conv(`${name}.conv2`, to, to),
    ...(from === to ? {} : conv(`${name}.nin_shortcut`, from, to, 1)),
  });
  const middle = (name: string): Shapes => ({
    ...block(`${name}.block_1`, 512, 512),
    ...norm(`${name}.attn_1.norm`, 512),
    ...['q', 'k', 'v', 'proj_out'].reduce((all, k) => Object.assign(all, conv(`${name}.attn_1.${k}`, 512, 512, 1)), {}),
    ...block(`${name}.block_2`, 512, 512),
  });
  const shapes: Record<string, readonly number[]> = {};
  let width = 128;
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
    ...conv(`${prefix}encoder.conv_in`, 3, 128),
    ...middle(`${prefix}encoder.mid`),
    ...norm(`${prefix}encoder.norm_out`, 512),
    ...conv(`${prefix}encoder.conv_out`, 512, 8),
    ...conv(`${prefix}quant_conv`, 8, 8, 1),
    ...conv(`${prefix}post_quant_conv`, 4, 4, 1),
    ...conv(`${prefix}decoder.conv_in`, 4, 512),
    ...middle(`${prefix}decoder.mid`),
    ...norm(`${prefix}decoder.norm_out`, 128),
    ...conv(`${prefix}decoder.conv_out`, 128, 3),
  };
}

function clip(prefix: string): Shapes {
  const width = contextWidth;
  const shapes: Record<string, readonly number[]> = {
    [`${prefix}embeddings.token_embedding.weight`]: [49408, width],
    [`${prefix}embeddings.position_embedding.weight`]: [77, width],
    ...norm(`${prefix}final_layer_norm`, width),
  };
  for (let i = 0; i < 12; i++) {
    const layer = `${prefix}encoder.layers.${i}`;
    for (const name of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) {
      Object.assign(shapes, linear(`${layer}.self_attn.${name}`, width, width));
    }
    Object.assign(shapes, norm(`${layer}.layer_norm1`, width), norm(`${layer}.layer_norm2`, width));
    Object.assign(shapes, linear(`${layer}.mlp.fc1`, width, 4 * width), linear(`${layer}.mlp.fc2`, 4 * width, width));
  }
  return shapes;
}

/** Of the whole single file. */
export const stableDiffusion15: Shapes = {
  ...unet('model.diffusion_model.'),
  ...vae('first_stage_model.'),
  ...clip('cond_stage_model.transformer.text_model.'),
};
