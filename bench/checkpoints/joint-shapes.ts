// Names and shapes of Stable Diffusion 3.5 medium as one file with both CLIPs and without the T5, in its true dimensions. Source:
// Stability AI's mmdit.py, with what sd3.5_medium.safetensors holds.

import { clip, conv, linear, type Shapes, vae } from './parts.js';

const inTransformer = 'model.diffusion_model.';
/** Of 3.5 medium: the first 13 layers have a second attention. */
const shape = {
  layers: 24,
  width: 1536,
  headWidth: 64,
  dual: 13,
  positions: 384,
  channels: 16,
  context: 4096,
  pooled: 2048,
};

function stream(name: string, { modulations, ends }: { modulations: number; ends: boolean }, second = false): Shapes {
  const { width, headWidth } = shape;
  const attention = (which: string): Shapes => ({
    ...linear(`${name}.${which}.qkv`, width, 3 * width),
    [`${name}.${which}.ln_q.weight`]: [headWidth],
    [`${name}.${which}.ln_k.weight`]: [headWidth],
    ...(ends ? {} : linear(`${name}.${which}.proj`, width, width)),
  });
  return {
    ...attention('attn'),
    ...(second && attention('attn2')),
    ...linear(`${name}.adaLN_modulation.1`, width, modulations * width),
    ...(ends ? {} : linear(`${name}.mlp.fc1`, width, 4 * width)),
    ...(ends ? {} : linear(`${name}.mlp.fc2`, 4 * width, width)),
  };
}

/** The prompt's stream ends in the last layer. */
function transformer(prefix: string): Shapes {
  const { layers, width, dual, positions, channels, context, pooled } = shape;
  const shapes: Record<string, readonly number[]> = {
    [`${prefix}pos_embed`]: [1, positions ** 2, width],
    ...conv(`${prefix}x_embedder.proj`, channels, width, 2),
    ...linear(`${prefix}t_embedder.mlp.0`, 256, width),
    ...linear(`${prefix}t_embedder.mlp.2`, width, width),
    ...linear(`${prefix}y_embedder.mlp.0`, pooled, width),
    ...linear(`${prefix}y_embedder.mlp.2`, width, width),
    ...linear(`${prefix}context_embedder`, context, width),
    ...linear(`${prefix}final_layer.linear`, width, 4 * channels),
    ...linear(`${prefix}final_layer.adaLN_modulation.1`, width, 2 * width),
  };
  for (let i = 0; i < layers; i++) {
    const [name, last] = [`${prefix}joint_blocks.${i}`, i === layers - 1];
    Object.assign(shapes, stream(`${name}.x_block`, { modulations: i < dual ? 9 : 6, ends: false }, i < dual));
    Object.assign(shapes, stream(`${name}.context_block`, { modulations: last ? 2 : 6, ends: last }));
  }
  return shapes;
}

export const stableDiffusion35Medium: Shapes = {
  ...transformer(inTransformer),
  ...vae('first_stage_model.', 16, false),
  ...clip('text_encoders.clip_l.transformer.text_model.'),
  ...clip('text_encoders.clip_g.transformer.text_model.', 1280, 32),
  'text_encoders.clip_g.transformer.text_projection.weight': [1280, 1280],
};
