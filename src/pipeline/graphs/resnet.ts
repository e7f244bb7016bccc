// The residual block of Stable Diffusion's UNet and VAE. Source: diffusers, models/resnet.py, ResnetBlock2D.

import type { Value } from './graph-writer.js';
import type { Layers } from './layers.js';

export interface NormConfig {
  readonly groups: number;
  readonly epsilon: number;
}

/** The embedding of the timestep after its activation, [rows, width]. */
export interface TimeEmbedding {
  readonly value: Value;
  readonly width: number;
}

export function resnetBlock(
  g: Layers,
  x: Value,
  name: string,
  from: number,
  to: number,
  { groups, epsilon }: NormConfig,
  time?: TimeEmbedding,
): Value {
  let h = g.silu(g.groupNorm(x, `${name}.norm1`, from, groups, epsilon));
  h = g.conv(h, `${name}.conv1`, from, to);
  if (time) {
    const shift = g.linear(time.value, `${name}.time_emb_proj`, time.width, to);
    h = g.add(h, g.node('Reshape', [shift, g.integers([0, to, 1, 1])]));
  }
  h = g.silu(g.groupNorm(h, `${name}.norm2`, to, groups, epsilon));
  h = g.conv(h, `${name}.conv2`, to, to);
  return g.add(from === to ? x : g.conv(x, `${name}.conv_shortcut`, from, to, { kernel: 1 }), h);
}
