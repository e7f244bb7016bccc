// The transformer of Flux.1: blocks in which the picture's and the prompt's tokens have weights of their own, then blocks in which they
// share them; every token knows its place by a rotation (Su et al. 2021). Source: diffusers, transformer_flux.py. It takes one timestep
// for each row, as a share of 1000.

import type { ComputingPrecision } from '../../model-facts.js';
import { dataTypes } from '../onnx/graph-file.js';
import { fusedAttention } from './attention.js';
import type { Value, WrittenGraph } from './graph-writer.js';
import { ModulatedLayers } from './modulated-layers.js';
import type { Weights } from './weights.js';

export interface FluxTransformerConfig {
  /** Of a token, four latents. */
  readonly channels: number;
  readonly outChannels: number;
  readonly layers: number;
  readonly singleLayers: number;
  readonly heads: number;
  /** Of a token inside. */
  readonly width: number;
  readonly contextWidth: number;
  readonly pooledWidth: number;
  readonly takesGuidance: boolean;
  /** How much of a head each of the three numbers of a place rotates. */
  readonly axes: readonly number[];
}

/** Of the rotations' wave lengths. */
const theta = 10000;
const unit = 1000;
/** Half floats end here. */
const largest = 65504;

/** Tokens as [rows, tokens, width]. */
interface Streams {
  readonly picture: Value;
  readonly prompt: Value;
}

/** Of each token, [1, tokens, 1, half of a head's width, 1]. */
interface Rotation {
  readonly cos: Value;
  readonly sin: Value;
}

/**
 * hidden_states [batch, packed, channels]; timestep [batch]; encoder_hidden_states [batch, tokens, contextWidth]; pooled_projections
 * [batch, pooledWidth]; img_ids [packed, 3]; txt_ids [tokens, 3]; guidance [batch] of a model that takes it -> out_hidden_states
 * [batch, packed, outChannels]
 * @throws ModelFolderError when the weights are not those of the config
 */
export function writeFluxTransformer(
  weights: Weights,
  config: FluxTransformerConfig,
  precision: ComputingPrecision,
): WrittenGraph {
  const g = new FluxLayers(weights, config, precision);
  const { channels, outChannels, contextWidth, pooledWidth, width, layers, singleLayers } = config;
  const latents = g.floatInput('hidden_states', ['batch', 'packed', channels]);
  g.rows = g.rowsOf(latents);
  const timestep = g.input('timestep', dataTypes.float32, ['batch']);
  const context = g.floatInput('encoder_hidden_states', ['batch', 'sequence', contextWidth]);
  const pooled = g.floatInput('pooled_projections', ['batch', pooledWidth]);
  const places = g.input('img_ids', dataTypes.float32, ['packed', 3]);
  const words = g.input('txt_ids', dataTypes.float32, ['sequence', 3]);
  const guidance = config.takesGuidance ? [g.input('guidance', dataTypes.float32, ['batch'])] : [];

  const numbers = [timestep, ...guidance].map((x, i) => {
    const which = i === 0 ? 'timestep_embedder' : 'guidance_embedder';
    return g.embeddedNumber(g.node('Mul', [x, g.floats([unit], [])]), `time_text_embed.${which}`);
  });
  const text = g.embedded(pooled, 'time_text_embed.text_embedder', pooledWidth);
  const time = g.silu([...numbers, text].reduce((a, b) => g.add(a, b)));
  g.rotation = rotationOf(g, g.node('Concat', [words, places], { axis: 0 }), config.axes);

  let streams: Streams = {
    picture: g.tokens(latents, 'x_embedder', channels, width),
    prompt: g.tokens(context, 'context_embedder', contextWidth, width),
  };
  for (let i = 0; i < layers; i++) streams = g.block(streams, `transformer_blocks.${i}`, time);
  const start = g.tokensIn(streams.prompt);
  let all = g.node('Concat', [streams.prompt, streams.picture], { axis: 1 });
  for (let i = 0; i < singleLayers; i++) all = g.singleBlock(all, `single_transformer_blocks.${i}`, time);

  const last = g.lastModulated(g.from(all, start), 'norm_out', time);
  g.output('out_hidden_states', g.tokens(last, 'proj_out', width, outChannels), ['batch', 'packed', outChannels]);
  weights.checkAllUsed(/^$/);
  return g.finish(0);
}

/** @param places [tokens, 3] */
function rotationOf(g: FluxLayers, places: Value, axes: readonly number[]): Rotation {
  const angles = axes.map((size, axis) => {
    const place = g.node('Gather', [places, g.integers([axis])], { axis: 1 });
    const frequencies = Array.from({ length: size / 2 }, (_, i) => theta ** ((-2 * i) / size));
    return g.node('Mul', [place, g.floats(frequencies, [1, size / 2])]);
  });
  const all = g.node('Concat', angles, { axis: 1 });
  const half = axes.reduce((sum, size) => sum + size, 0) / 2;
  const of = (wave: 'Cos' | 'Sin') => g.node('Reshape', [g.node(wave, [all]), g.integers([1, -1, 1, half, 1])]);
  return { cos: of('Cos'), sin: of('Sin') };
}

type Projected = readonly [q: Value, k: Value, v: Value];

class FluxLayers extends ModulatedLayers {
  rotation: Rotation = { cos: '', sin: '' };

  constructor(
    weights: Weights,
    private readonly config: FluxTransformerConfig,
    precision: ComputingPrecision,
  ) {
    super(weights, config, precision);
  }

  block({ picture, prompt }: Streams, name: string, time: Value): Streams {
    const { width } = this.config;
    const own = this.modulation(time, `${name}.norm1.linear`, 6);
    const others = this.modulation(time, `${name}.norm1_context.linear`, 6);
    const seen = this.modulated(this.norm(picture), own[1]!, own[0]!);
    const read = this.modulated(this.norm(prompt), others[1]!, others[0]!);
    const projected = [
      this.projected(
        read,
        `${name}.attn`,
        ['add_q_proj', 'add_k_proj', 'add_v_proj'],
        ['norm_added_q', 'norm_added_k'],
      ),
      this.projected(seen, `${name}.attn`, ['to_q', 'to_k', 'to_v'], ['norm_q', 'norm_k']),
    ] as const;
    const [q, k, v] = projected[0].map((each, i) => this.node('Concat', [each, projected[1][i]!], { axis: 1 }));
    const mixed = this.attend([q!, k!, v!]);
    const start = this.tokensIn(prompt);
    const attended: Streams = {
      prompt: this.tokens(this.upTo(mixed, start), `${name}.attn.to_add_out`, width, width),
      picture: this.tokens(this.from(mixed, start), `${name}.attn.to_out.0`, width, width),
    };
    const go = (
      which: keyof Streams,
      before: Value,
      [, , gate, shift, scale, feedGate]: readonly Value[],
      ff: string,
    ) => {
      const after = this.add(before, this.node('Mul', [gate!, attended[which]]));
      const fed = this.feedForward(this.modulated(this.norm(after), scale!, shift!), `${name}.${ff}`);
      return this.add(after, this.node('Mul', [feedGate!, fed]));
    };
    return {
      picture: go('picture', picture, own, 'ff'),
      prompt: this.bounded(go('prompt', prompt, others, 'ff_context')),
    };
  }

  /** @param x the prompt's tokens, and after them the picture's */
  singleBlock(x: Value, name: string, time: Value): Value {
    const { width } = this.config;
    const [shift, scale, gate] = this.modulation(time, `${name}.norm.linear`, 3);
    const normed = this.modulated(this.norm(x), scale!, shift!);
    const inner = this.activation(this.tokens(normed, `${name}.proj_mlp`, width, 4 * width), 'gelu_tanh');
    const mixed = this.attend(this.projected(normed, `${name}.attn`, ['to_q', 'to_k', 'to_v'], ['norm_q', 'norm_k']));
    const both = this.node('Concat', [mixed, inner], { axis: 2 });
    const out = this.tokens(both, `${name}.proj_out`, 5 * width, width);
    return this.bounded(this.add(x, this.node('Mul', [gate!, out])));
  }

  /** How many tokens there are, [1]. */
  tokensIn(x: Value): Value {
    return this.node('Slice', [this.node('Shape', [x]), this.integers([1]), this.integers([2])]);
  }

  /** The tokens from one on. */
  from(x: Value, start: Value): Value {
    return this.node('Slice', [x, start, this.integers([Number.MAX_SAFE_INTEGER]), this.integers([1])]);
  }

  private upTo(x: Value, end: Value): Value {
    return this.node('Slice', [x, this.integers([0]), end, this.integers([1])]);
  }

  private projected(
    x: Value,
    name: string,
    [q, k, v]: readonly [string, string, string],
    [normQ, normK]: readonly [string, string],
  ): Projected {
    const { width } = this.config;
    const project = (which: string) => this.tokens(x, `${name}.${which}`, width, width);
    const normed = (which: string, norm: string) => this.normedHeads(project(which), `${name}.${norm}`);
    return [normed(q, normQ), normed(k, normK), project(v)];
  }

  /** @param q and keys in heads */
  private attend([q, k, v]: Projected): Value {
    return fusedAttention(this, this.rotated(q), this.rotated(k), v, this.config);
  }

  /** Pairs of a head's numbers, turned by their token's place: in float32. @param x [rows, tokens, heads, width of a head] */
  private rotated(x: Value): Value {
    const { heads, width } = this.config;
    const { cos, sin } = this.rotation;
    const plain = this.precision === 'fp32' ? x : this.node('Cast', [x], { to: dataTypes.float32 });
    const pairs = this.node('Reshape', [plain, this.integers([0, 0, heads, width / heads / 2, 2])]);
    const [real, imaginary] = [0, 1].map((i) => this.node('Gather', [pairs, this.integers([i])], { axis: 4 }));
    const product = (a: Value, b: Value) => this.node('Mul', [a, b]);
    const turned = [
      this.node('Sub', [product(real!, cos), product(imaginary!, sin)]),
      this.add(product(imaginary!, cos), product(real!, sin)),
    ];
    return this.joinedHeads(this.toComputed(this.node('Concat', turned, { axis: 4 })));
  }

  /** What passes the range of half floats is brought back to its end, as diffusers does. */
  private bounded(x: Value): Value {
    if (this.precision === 'fp32') return x;
    return this.node('Clip', [x, this.numbers([-largest], []), this.numbers([largest], [])]);
  }
}
