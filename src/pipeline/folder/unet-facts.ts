// What a UNet takes and makes, from its graph and its config.

import type { SizeRange } from '../../model-facts.js';
import type { GraphFacts } from '../onnx/graph-facts.js';
import { type Json, number } from './configs.js';
import { ModelFolderError, shown } from './model-folder-error.js';
import { maxSide, type Settings } from './schemas.js';

/** Of pictures that a model makes unless its settings say otherwise, pixels. */
const smallestSide = 64;

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
 * @param sampleSize of the family, where the config names none
 * @throws ModelFolderError for sides that are too large or contradict each other
 */
export function sizeRange(
  settings: NonNullable<Settings['size']>,
  facts: GraphFacts,
  config: Json,
  vaeScale: number,
  sampleSize: number,
): SizeRange {
  const [, , height, width] = facts.inputs.get('sample')?.shape ?? [];
  if (typeof height === 'number' || typeof width === 'number') {
    if (height !== width) {
      throw new ModelFolderError(
        `unet was exported for latents of ${height} x ${width} only; export it with dynamic axes`,
      );
    }
    const fixed = Number(height) * vaeScale;
    return checked({ native: fixed, multiple: fixed, min: fixed, max: fixed }, vaeScale);
  }
  const native = settings.native ?? (number(config.sample_size) ?? sampleSize) * vaeScale;
  const multiple = settings.multiple ?? vaeScale * 2 ** halvings(config, facts);
  const min = settings.min ?? Math.max(1, Math.ceil(Math.min(smallestSide, native) / multiple)) * multiple;
  const max = settings.max ?? Math.max(native, Math.floor((2 * native) / multiple) * multiple);
  return checked({ native, multiple, min, max }, vaeScale);
}

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

export function latentChannels(facts: GraphFacts, config: Json): number {
  const channels = facts.outputs.values().next().value?.shape?.[1];
  return typeof channels === 'number' ? channels : (number(config.out_channels) ?? 4);
}

/**
 * What a UNet takes beside the latents, by its channels: for inpainting a mask and the latents of what is left of the starter, for
 * edits the starter's latents.
 * @throws ModelFolderError for UNets that want something else
 */
export function besideLatents(facts: GraphFacts, config: Json): 'nothing' | 'masked starter' | 'starter' {
  const channels = number(facts.inputs.get('sample')?.shape?.[1]) ?? number(config.in_channels);
  const latents = latentChannels(facts, config);
  if (channels === undefined || channels === latents) return 'nothing';
  if (channels === 2 * latents + 1) return 'masked starter';
  if (channels === 2 * latents) return 'starter';
  throw new ModelFolderError(
    `unet takes ${channels} channels, which is not supported (supported: ${latents}, ${2 * latents + 1} for inpainting, and ${2 * latents} for InstructPix2Pix)`,
  );
}
