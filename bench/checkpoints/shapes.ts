// Names and shapes of a checkpoint's tensors in the original layout, in the true dimensions of the families. Sources: CompVis'
// v1-inference.yaml, Stability AI's v2-inference.yaml and sd_xl_base.yaml, openaimodel.py; open_clip's ViT-H-14 and ViT-bigG-14.

import { stableDiffusion35Medium } from './joint-shapes.js';
import { clip, conv, linear, norm, type Shapes, vae } from './parts.js';

interface UNetShape {
  /** Of each level. */
  readonly channels: readonly number[];
  /** Transformer blocks of each level, and of the middle. */
  readonly depths: readonly number[];
  readonly middleDepth: number;
  readonly contextWidth: number;
  /** The transformers' outer projections are linear layers, else 1 x 1 convolutions. */
  readonly linear: boolean;
  /** Width of pooled embeddings and sizes. */
  readonly pooledWidth?: number;
}

/** Of the embedded timestep, beside a UNet's first width. */
const timeWidthOf = ([first]: readonly number[]) => 4 * first!;

function resnet(name: string, from: number, to: number, timeWidth: number): Shapes {
  return {
    ...norm(`${name}.in_layers.0`, from),
    ...conv(`${name}.in_layers.2`, from, to),
    ...linear(`${name}.emb_layers.1`, timeWidth, to),
    ...norm(`${name}.out_layers.0`, to),
    ...conv(`${name}.out_layers.3`, to, to),
    ...(from === to ? {} : conv(`${name}.skip_connection`, from, to, 1)),
  };
}

function transformer(
  name: string,
  width: number,
  depth: number,
  { contextWidth, linear: isLinear }: UNetShape,
): Shapes {
  if (depth === 0) return {};
  const project = (which: string) => (isLinear ? linear(which, width, width) : conv(which, width, width, 1));
  const shapes: Record<string, readonly number[]> = { ...norm(`${name}.norm`, width), ...project(`${name}.proj_in`) };
  for (let i = 0; i < depth; i++) Object.assign(shapes, block(`${name}.transformer_blocks.${i}`, width, contextWidth));
  return { ...shapes, ...project(`${name}.proj_out`) };
}

function block(name: string, width: number, contextWidth: number): Shapes {
  const attention = (which: string, context: number): Shapes => ({
    [`${name}.${which}.to_q.weight`]: [width, width],
    [`${name}.${which}.to_k.weight`]: [width, context],
    [`${name}.${which}.to_v.weight`]: [width, context],
    ...linear(`${name}.${which}.to_out.0`, width, width),
  });
  return {
    ...attention('attn1', width),
    ...attention('attn2', contextWidth),
    ...linear(`${name}.ff.net.0.proj`, width, 8 * width),
    ...linear(`${name}.ff.net.2`, 4 * width, width),
    ...[1, 2, 3].reduce((all, i) => Object.assign(all, norm(`${name}.norm${i}`, width)), {}),
  };
}

/** Two residual blocks to a level on the way down, three on the way up, each of which takes what one on the way down left. */
function unet(prefix: string, shape: UNetShape): Shapes {
  const { channels, depths, middleDepth, pooledWidth } = shape;
  const [first] = channels as [number, ...number[]];
  const timeWidth = timeWidthOf(channels);
  const shapes: Record<string, readonly number[]> = {
    ...linear(`${prefix}time_embed.0`, first, timeWidth),
    ...linear(`${prefix}time_embed.2`, timeWidth, timeWidth),
    ...(pooledWidth !== undefined && {
      ...linear(`${prefix}label_emb.0.0`, pooledWidth, timeWidth),
      ...linear(`${prefix}label_emb.0.2`, timeWidth, timeWidth),
    }),
    ...conv(`${prefix}input_blocks.0.0`, 4, first),
  };
  const last = channels.length - 1;
  const left: number[] = [first];
  let width = first;
  for (const [level, wide] of channels.entries()) {
    for (let i = 0; i < 2; i++) {
      const name = `${prefix}input_blocks.${left.length}`;
      Object.assign(
        shapes,
        resnet(`${name}.0`, width, wide, timeWidth),
        transformer(`${name}.1`, wide, depths[level]!, shape),
      );
      left.push(wide);
      width = wide;
    }
    if (level < last) {
      Object.assign(shapes, conv(`${prefix}input_blocks.${left.length}.0.op`, wide, wide));
      left.push(wide);
    }
  }
  const middle = `${prefix}middle_block`;
  for (const part of ['0', '2']) Object.assign(shapes, resnet(`${middle}.${part}`, width, width, timeWidth));
  Object.assign(shapes, transformer(`${middle}.1`, width, middleDepth, shape));
  let number = 0;
  for (const [up, wide] of channels.toReversed().entries()) {
    const depth = depths[last - up]!;
    for (let i = 0; i < 3; i++, number++) {
      const name = `${prefix}output_blocks.${number}`;
      Object.assign(
        shapes,
        resnet(`${name}.0`, width + left.pop()!, wide, timeWidth),
        transformer(`${name}.1`, wide, depth, shape),
      );
      if (i === 2 && up < last) Object.assign(shapes, conv(`${name}.${depth > 0 ? 2 : 1}.conv`, wide, wide));
      width = wide;
    }
  }
  return { ...shapes, ...norm(`${prefix}out.0`, first), ...conv(`${prefix}out.2`, first, 4) };
}

/** A text encoder by open_clip's names. */
function openClip(prefix: string, width: number, layers: number): Shapes {
  const shapes: Record<string, readonly number[]> = {
    [`${prefix}token_embedding.weight`]: [49408, width],
    [`${prefix}positional_embedding`]: [77, width],
    [`${prefix}text_projection`]: [width, width],
    ...norm(`${prefix}ln_final`, width),
  };
  for (let i = 0; i < layers; i++) {
    const layer = `${prefix}transformer.resblocks.${i}`;
    Object.assign(shapes, norm(`${layer}.ln_1`, width), norm(`${layer}.ln_2`, width));
    Object.assign(shapes, {
      [`${layer}.attn.in_proj_weight`]: [3 * width, width],
      [`${layer}.attn.in_proj_bias`]: [3 * width],
    });
    Object.assign(shapes, linear(`${layer}.attn.out_proj`, width, width));
    Object.assign(
      shapes,
      linear(`${layer}.mlp.c_fc`, width, 4 * width),
      linear(`${layer}.mlp.c_proj`, 4 * width, width),
    );
  }
  return shapes;
}

const inUnet = 'model.diffusion_model.';
const inVae = 'first_stage_model.';
const halving = { channels: [320, 640, 1280, 1280], depths: [1, 1, 1, 0], middleDepth: 1 };

/** Of whole single files. */
export const checkpointShapes = {
  'Stable Diffusion 1.5': {
    ...unet(inUnet, { ...halving, contextWidth: 768, linear: false }),
    ...vae(inVae),
    ...clip('cond_stage_model.transformer.text_model.'),
  },
  'Stable Diffusion 2.1': {
    ...unet(inUnet, { ...halving, contextWidth: 1024, linear: true }),
    ...vae(inVae),
    ...openClip('cond_stage_model.model.', 1024, 24),
  },
  'Stable Diffusion XL': {
    ...unet(inUnet, {
      ...{ channels: [320, 640, 1280], depths: [0, 2, 10], middleDepth: 10 },
      ...{ contextWidth: 2048, linear: true, pooledWidth: 2816 },
    }),
    ...vae(inVae),
    ...clip('conditioner.embedders.0.transformer.text_model.'),
    ...openClip('conditioner.embedders.1.model.', 1280, 32),
  },
  'Stable Diffusion 3.5 medium': stableDiffusion35Medium,
} as const satisfies Readonly<Record<string, Shapes>>;

/** Stable Diffusion 1's layout in dimensions that any machine runs in a moment. */
export const tinyShapes: Shapes = {
  ...unet(inUnet, {
    channels: [32, 64, 64, 64],
    depths: [1, 1, 1, 0],
    middleDepth: 1,
    contextWidth: 64,
    linear: false,
  }),
  ...vae(inVae, 4, true, [32, 32, 64, 64]),
  ...clip('cond_stage_model.transformer.text_model.', 64, 2),
};

export type CheckpointFamily = keyof typeof checkpointShapes;
