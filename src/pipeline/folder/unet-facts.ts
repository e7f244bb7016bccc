// What a UNet takes and makes, from its graph and its config.

import { maxSide, type SizeRange } from '../../model-facts.js';
import type { Family } from '../families/family.js';
import { packSide } from '../numbers/packing.js';
import type { GraphFacts } from '../onnx/graph-facts.js';
import { type Json, number } from './configs.js';
import { ModelFolderError, shown } from './model-folder-error.js';
import type { Settings } from './schemas.js';

/** Of pictures that a model makes unless its settings say otherwise, pixels. */
const smallestSide = 64;
/** The same in latents, of a model whose config names no size of its own: as many pixels at the usual factor. */
const smallestLatents = 8;

/** Every halving of a picture's sides doubles what they must be multiples of. */
const maxHalvings = 7;

/** How often sides are halved. A config's own word counts: a graph may go down a level without a convolution. */
export function halvings(config: Json, facts: GraphFacts): number {
  const count = Array.isArray(config.block_out_channels) ? config.block_out_channels.length - 1 : facts.halvings;
  if (count <= maxHalvings) return count;
  throw new ModelFolderError(`a graph halves sides ${count} times, which is not supported (at most ${maxHalvings})`);
}

/**
 * What the settings say, else what the graph and its config do: SD's UNets halve sides three times, SDXL's twice. Where nothing
 * names sizes, every multiple from 64 pixels, or from the native side where that is smaller, to twice the native side.
 * @param family its `sampleSize` counts where the config names none
 * @throws ModelFolderError for sides that are too large or contradict each other
 */
export function sizeRange(
  settings: NonNullable<Settings['size']>,
  facts: GraphFacts,
  config: Json,
  vaeScale: number,
  { sampleSize, latents }: Pick<Family, 'sampleSize' | 'latents'>,
): SizeRange {
  const [, tokens, height, width] = latentsInput(facts)?.shape ?? [];
  if (latents === 'tokens' && typeof tokens === 'number') {
    throw new ModelFolderError(`it was exported for ${tokens} tokens of a picture only; export it with dynamic axes`);
  }
  if (latents === 'picture' && (typeof height === 'number' || typeof width === 'number')) {
    if (height !== width) {
      throw new ModelFolderError(
        `it was exported for latents of ${height} x ${width} only; export it with dynamic axes`,
      );
    }
    const fixed = Number(height) * vaeScale;
    return checked({ native: fixed, multiple: fixed, min: fixed, max: fixed }, vaeScale);
  }
  const named = number(config.sample_size);
  const native = settings.native ?? (named ?? sampleSize) * vaeScale;
  const perToken = latents === 'tokens' ? packSide : (number(config.patch_size) ?? 2 ** halvings(config, facts));
  const multiple = settings.multiple ?? vaeScale * perToken;
  const least = named === undefined ? Math.min(smallestSide, smallestLatents * vaeScale) : smallestSide;
  const min = settings.min ?? Math.max(1, Math.ceil(Math.min(least, native) / multiple)) * multiple;
  const most = largestSide(config, vaeScale);
  const max = settings.max ?? Math.min(Math.max(native, Math.floor((2 * native) / multiple) * multiple), most);
  if (max > most) {
    throw new ModelFolderError(
      `its sizes go up to ${max}, and the positions that the transformer knows (pos_embed_max_size ${config.pos_embed_max_size}) to ${most}`,
    );
  }
  return checked({ native, multiple, min, max }, vaeScale);
}

/** Pixels, where a transformer has learned positions for its patches. */
function largestSide({ pos_embed_max_size, patch_size }: Json, vaeScale: number): number {
  const patches = number(pos_embed_max_size);
  return patches === undefined ? Number.POSITIVE_INFINITY : patches * (number(patch_size) ?? 1) * vaeScale;
}

/** By the names that UNets and transformers give it. */
const latentsInput = ({ inputs }: GraphFacts) => inputs.get('sample') ?? inputs.get('hidden_states');

function checked(size: SizeRange, vaeScale: number): SizeRange {
  const { native, multiple, min, max } = size;
  if (!(Number.isInteger(native) && native > 0 && native <= maxSide.native)) {
    throw new ModelFolderError(
      `its native pictures would have sides of ${shown(native)} pixels; 1 to ${maxSide.native} are supported`,
    );
  }
  if (multiple % vaeScale !== 0) {
    throw new ModelFolderError(`sides are multiples of ${multiple}; for its VAE they must be multiples of ${vaeScale}`);
  }
  if (min <= native && native <= max) return size;
  throw new ModelFolderError(`its sizes contradict each other: min ${min}, native ${native}, max ${max}`);
}

export function guidanceWidth({ inputs }: GraphFacts, config: Json): number | undefined {
  const input = inputs.get('timestep_cond');
  if (!input) return undefined;
  const width = number(input.shape?.[1]) ?? number(config.time_cond_proj_dim);
  if (width !== undefined) return width;
  throw new ModelFolderError(
    'unet takes timestep_cond, and unet/config.json has no time_cond_proj_dim that tells its width',
  );
}

/** Of the embeddings of a prompt's tokens. */
export function contextWidth({ inputs }: GraphFacts, config: Json): number | undefined {
  return number(inputs.get('encoder_hidden_states')?.shape?.[2]) ?? number(config.joint_attention_dim);
}

/** Of the latents that a denoiser predicts; of tokens a part of their width. */
export function latentChannels(facts: GraphFacts, config: Json, latents: Family['latents']): number {
  const shape = facts.outputs.values().next().value?.shape;
  if (latents === 'picture') return number(shape?.[1]) ?? number(config.out_channels) ?? 4;
  const width = number(shape?.[2]) ?? number(config.out_channels) ?? number(config.in_channels) ?? 64;
  if (width % packSide ** 2 === 0) return width / packSide ** 2;
  throw new ModelFolderError(`transformer gives ${width} numbers a token, which are not four latents`);
}

/** Flux' tools take more in each token than they predict. */
const fluxTools: Readonly<Record<number, string>> = { 6: 'Fill', 2: 'Canny or Depth' };

/**
 * What a UNet takes beside the latents, by its channels: for inpainting a mask and the latents of what is left of the starter, for
 * edits the starter's latents.
 * @throws ModelFolderError for UNets that want something else
 */
export function besideLatents(
  facts: GraphFacts,
  config: Json,
  layout: Family['latents'],
): 'nothing' | 'masked starter' | 'starter' {
  const latents = latentChannels(facts, config, layout);
  if (layout === 'tokens') {
    checkTokens(number(latentsInput(facts)?.shape?.[2]) ?? number(config.in_channels), latents * packSide ** 2);
    return 'nothing';
  }
  const channels = number(latentsInput(facts)?.shape?.[1]) ?? number(config.in_channels);
  if (channels === undefined || channels === latents) return 'nothing';
  if (channels === 2 * latents + 1) return 'masked starter';
  if (channels === 2 * latents) return 'starter';
  throw new ModelFolderError(
    `unet takes ${channels} channels, which is not supported (supported: ${latents}, ${2 * latents + 1} for inpainting, and ${2 * latents} for InstructPix2Pix)`,
  );
}

function checkTokens(width: number | undefined, predicted: number): void {
  if (width === undefined || width === predicted) return;
  const tool = fluxTools[width / predicted];
  throw new ModelFolderError(
    `transformer takes ${width} numbers a token and predicts ${predicted}${tool ? `, as Flux ${tool} does` : ''}: models that see more than the latents are not supported (supported: ${predicted})`,
  );
}
