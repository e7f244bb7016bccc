// The transformer of Stable Diffusion 3 and 3.5, in which the picture's and the prompt's tokens attend to all of both, each with weights
// of its own. Esser et al. 2024, figure 2; source: diffusers, transformer_sd3.py and attention.py, JointTransformerBlock. It takes one
// timestep for each row.

import type { ComputingPrecision } from '../../model-facts.js';
import { dataTypes } from '../onnx/graph-file.js';
import { attention, fusedAttention } from './attention.js';
import type { Value, WrittenGraph } from './graph-writer.js';
import { ModulatedLayers } from './modulated-layers.js';
import type { Weights } from './weights.js';

export interface JointTransformerConfig {
  readonly channels: number;
  readonly outChannels: number;
  /** Side of the squares of latents that are a token; a power of 2. */
  readonly patch: number;
  /** Patches along a side that have a position. */
  readonly positions: number;
  /** Side of the latents that the model was made for. */
  readonly sampleSize: number;
  readonly layers: number;
  readonly heads: number;
  /** Of a token. */
  readonly width: number;
  readonly contextWidth: number;
  readonly pooledWidth: number;
  /** 3.5: queries and keys are normed by head. */
  readonly normsHeads: boolean;
  /** 3.5 medium: layers whose pictures' tokens attend to each other once more, alone. */
  readonly dualLayers: readonly number[];
}

/** From this many tokens of a picture on the fused operator is the faster one, on a CPU. */
const fusedFrom = 1024;

/** Tokens as [rows, tokens, width]. */
interface Streams {
  readonly picture: Value;
  /** Absent after the last layer, which nothing follows. */
  readonly prompt: Value | undefined;
}

/**
 * hidden_states [batch, channels, height, width], sides multiples of the patch; timestep [batch]; encoder_hidden_states [batch,
 * tokens, contextWidth]; pooled_projections [batch, pooledWidth] -> out_hidden_states [batch, outChannels, height, width]
 * @throws ModelFolderError when the weights are not those of the config
 */
export function writeJointTransformer(
  weights: Weights,
  config: JointTransformerConfig,
  precision: ComputingPrecision,
): WrittenGraph {
  const g = new JointLayers(weights, config, precision);
  const { channels, outChannels, contextWidth, pooledWidth, width, layers, patch } = config;
  const latents = g.floatInput('hidden_states', ['batch', channels, 'height', 'width']);
  g.rows = g.rowsOf(latents);
  const timestep = g.input('timestep', dataTypes.float32, ['batch']);
  const context = g.floatInput('encoder_hidden_states', ['batch', 'sequence', contextWidth]);
  const pooled = g.floatInput('pooled_projections', ['batch', pooledWidth]);

  const patches = g.conv(latents, 'pos_embed.proj', channels, width, {
    kernel: patch,
    stride: patch,
    pads: [0, 0, 0, 0],
  });
  const embedded = g.embeddedNumber(timestep, 'time_text_embed.timestep_embedder');
  const time = g.silu(g.add(embedded, g.embedded(pooled, 'time_text_embed.text_embedder', pooledWidth)));
  let streams: Streams = {
    picture: g.add(g.inRows(g.toTokens(patches, width), g.rows, [-1, width]), positionsOf(g, patches, config)),
    prompt: g.tokens(context, 'context_embedder', contextWidth, width),
  };
  for (let i = 0; i < layers; i++) streams = g.block(streams, `transformer_blocks.${i}`, i, time);

  const normed = g.lastModulated(streams.picture, 'norm_out', time);
  const flat = g.tokens(normed, 'proj_out', width, patch ** 2 * outChannels);
  g.output('out_hidden_states', unpatched(g, flat, patches, config), ['batch', outChannels, 'height', 'width']);
  weights.checkAllUsed(/^$/);
  return g.finish(Math.log2(patch));
}

/** Cut from the middle of those that there are. @param patches [rows, width, height, width] @returns [1, tokens, width] */
function positionsOf(g: ModulatedLayers, patches: Value, { positions, width }: JointTransformerConfig): Value {
  const all = g.parameter('pos_embed.pos_embed', [1, positions ** 2, width]);
  const square = g.node('Reshape', [all, g.integers([positions, positions, width])]);
  const sides = g.node('Slice', [g.node('Shape', [patches]), g.integers([2]), g.integers([4])]);
  const start = g.node('Div', [g.node('Sub', [g.integers([positions]), sides]), g.integers([2])]);
  const cut = g.node('Slice', [square, start, g.node('Add', [start, sides]), g.integers([0, 1])]);
  return g.node('Reshape', [cut, g.integers([1, -1, width])]);
}

/** @param tokens [rows, tokens, patch * patch * channels] @returns [rows, channels, height, width] */
function unpatched(
  g: ModulatedLayers,
  tokens: Value,
  patches: Value,
  { patch, outChannels }: JointTransformerConfig,
): Value {
  const shape = g.node('Shape', [patches]);
  const part = (from: number, to: number) => g.node('Slice', [shape, g.integers([from]), g.integers([to])]);
  const squares = g.node('Concat', [part(0, 1), part(2, 4), g.integers([patch, patch, outChannels])], { axis: 0 });
  const spread = g.node('Transpose', [g.node('Reshape', [tokens, squares])], { perm: [0, 5, 1, 3, 2, 4] });
  const sides = g.node('Mul', [part(2, 4), g.integers([patch])]);
  return g.node('Reshape', [spread, g.node('Concat', [part(0, 1), g.integers([outChannels]), sides], { axis: 0 })]);
}

/** Queries, keys and values of one stream, [rows, tokens, width]. */
type Projected = readonly [q: Value, k: Value, v: Value];

class JointLayers extends ModulatedLayers {
  constructor(
    weights: Weights,
    private readonly config: JointTransformerConfig,
    precision: ComputingPrecision,
  ) {
    super(weights, config, precision);
  }

  block({ picture, prompt }: Streams, name: string, layer: number, time: Value): Streams {
    const { layers, dualLayers } = this.config;
    const [isLast, isDual] = [layer === layers - 1, dualLayers.includes(layer)];
    const own = this.modulation(time, `${name}.norm1.linear`, isDual ? 9 : 6);
    const others = isLast ? [] : this.modulation(time, `${name}.norm1_context.linear`, 6);
    const normed = this.norm(picture);
    const pixels = this.modulated(normed, own[1]!, own[0]!);
    const words = isLast
      ? this.lastModulated(prompt!, `${name}.norm1_context`, time)
      : this.modulated(this.norm(prompt!), others[1]!, others[0]!);
    const attended = this.jointAttention(pixels, words, `${name}.attn`, isLast);

    let seen = this.add(picture, this.node('Mul', [own[2]!, attended.picture]));
    if (isDual) {
      const again = this.selfAttention(this.modulated(normed, own[7]!, own[6]!), `${name}.attn2`);
      seen = this.add(seen, this.node('Mul', [own[8]!, again]));
    }
    const feed = (x: Value, which: string, [shift, scale, gate]: readonly Value[]) =>
      this.add(x, this.node('Mul', [gate!, this.feedForward(this.modulated(this.norm(x), scale!, shift!), which)]));
    return {
      picture: feed(seen, `${name}.ff`, own.slice(3, 6)),
      prompt: isLast
        ? undefined
        : feed(
            this.add(prompt!, this.node('Mul', [others[2]!, attended.prompt!])),
            `${name}.ff_context`,
            others.slice(3, 6),
          ),
    };
  }

  private selfAttention(x: Value, name: string): Value {
    const mixed = this.attend(this.projected(x, name, ['to_q', 'to_k', 'to_v'], ['norm_q', 'norm_k']));
    return this.tokens(mixed, `${name}.to_out.0`, this.config.width, this.config.width);
  }

  /** The picture's tokens come first. */
  private jointAttention(picture: Value, prompt: Value, name: string, isLast: boolean): Streams {
    const { width } = this.config;
    const own = this.projected(picture, name, ['to_q', 'to_k', 'to_v'], ['norm_q', 'norm_k']);
    const others = this.projected(
      prompt,
      name,
      ['add_q_proj', 'add_k_proj', 'add_v_proj'],
      ['norm_added_q', 'norm_added_k'],
    );
    const joined = own.map((each, i) => this.node('Concat', [each, others[i]!], { axis: 1 }));
    const mixed = this.attend(joined as unknown as Projected);
    const count = this.node('Slice', [this.node('Shape', [picture]), this.integers([1]), this.integers([2])]);
    const part = (from: Value, to: Value) => this.node('Slice', [mixed, from, to, this.integers([1])]);
    const end = this.integers([Number.MAX_SAFE_INTEGER]);
    return {
      picture: this.tokens(part(this.integers([0]), count), `${name}.to_out.0`, width, width),
      prompt: isLast ? undefined : this.tokens(part(count, end), `${name}.to_add_out`, width, width),
    };
  }

  private projected(
    x: Value,
    name: string,
    [q, k, v]: readonly [string, string, string],
    [normQ, normK]: readonly [string, string],
  ): Projected {
    const { width, normsHeads } = this.config;
    const project = (which: string) => this.tokens(x, `${name}.${which}`, width, width);
    const norm = (value: Value, which: string) =>
      normsHeads ? this.joinedHeads(this.normedHeads(value, `${name}.${which}`)) : value;
    return [norm(project(q), normQ), norm(project(k), normK), project(v)];
  }

  private attend([q, k, v]: Projected): Value {
    const { heads, width, sampleSize, patch } = this.config;
    // Half precision is for GPUs, where the one operator is the faster, and keeps the products in float32.
    const fused = (sampleSize / patch) ** 2 >= fusedFrom || this.precision === 'fp16';
    return (fused ? fusedAttention : attention)(this, q, k, v, { heads, width });
  }
}
