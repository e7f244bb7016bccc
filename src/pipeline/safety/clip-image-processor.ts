// Pictures as CLIP's vision model takes them: resized, cut to a square, normalised. Source: transformers, CLIPImageProcessor.

import type { Pixels } from '../../pixels.js';
import { ConfigValues } from '../checkpoint/config-values.js';
import type { Json } from '../folder/configs.js';
import { resizeBicubic } from './resize.js';

export interface ImageProcessor {
  /** Of the resized picture, pixels: the shorter side, whose other one follows, or both. */
  readonly size: number | { readonly width: number; readonly height: number };
  /** Of the square that is cut from its middle. */
  readonly side: number;
  /** A byte times this is 0..1 as a rule. */
  readonly factor: number;
  /** Per colour. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export const processorFile = 'feature_extractor/preprocessor_config.json';
/** Sides are no more than that: CLIP's models take 224 to 336. */
const mostSide = 1024;
/** OpenAI's, which are transformers' defaults. */
const clipMean = [0.48145466, 0.4578275, 0.40821073];
const clipStd = [0.26862954, 0.26130258, 0.27577711];
const bicubic = 3; // Pillow's number

/**
 * @param json of preprocessor_config.json; an empty one stands for CLIP's defaults
 * @param side of the pictures that the model takes, where that is known
 * @throws ModelFolderError for what would be preprocessed in another way, or gives pictures of another size
 */
export function imageProcessor(json: Json, side: number | undefined): ImageProcessor {
  const values = new ConfigValues(json, processorFile);
  values.onlyUnderstands({
    do_resize: [true],
    do_center_crop: [true],
    do_rescale: [true],
    do_normalize: [true],
    resample: [bicubic],
  });
  const usual = side ?? 224;
  const size = sizeOf(json.size, usual) ?? values.fail('size', 'not a size');
  const cut = squareOf(json.crop_size, usual) ?? values.fail('crop_size', 'not the side of a square');
  if (side !== undefined && cut !== side) values.fail('crop_size', `not the ${side} pixels that the model takes`);
  if (Math.min(...(typeof size === 'number' ? [size] : [size.width, size.height])) < cut) {
    values.fail('size', `less than crop_size`);
  }
  return {
    size,
    side: cut,
    factor: values.number('rescale_factor', 1 / 255),
    mean: threeOf(json.image_mean, clipMean) ?? values.fail('image_mean', 'not three numbers'),
    std: threeOf(json.image_std, clipStd, 0) ?? values.fail('image_std', 'not three numbers above 0'),
  };
}

/** @returns [3, side, side] */
export function preprocess(picture: Pixels, { size, side, factor, mean, std }: ImageProcessor): Float32Array {
  const to = typeof size === 'number' ? byShorter(picture, size) : size;
  const { data, width, height } = resizeBicubic(picture, to.width, to.height);
  const [left, top] = [Math.floor((width - side) / 2), Math.floor((height - side) / 2)];
  const { fround } = Math;
  const [means, stds] = [mean.map(fround), std.map(fround)];
  const values = new Float32Array(3 * side * side);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const byte = data[3 * ((top + y) * width + left + x) + c]!;
        values[(c * side + y) * side + x] = fround(fround(byte * factor) - means[c]!) / stds[c]!;
      }
    }
  }
  return values;
}

/** The longer side is cut to a whole number, not rounded. */
function byShorter({ width, height }: Pixels, shorter: number) {
  return width <= height
    ? { width: shorter, height: Math.trunc((shorter * height) / width) }
    : { width: Math.trunc((shorter * width) / height), height: shorter };
}

const isSide = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= mostSide;

/** A number, `shortest_edge`, or both sides; undefined for anything else. */
function sizeOf(value: Json | number | null | undefined, absent: number): ImageProcessor['size'] | undefined {
  const size = value ?? absent;
  if (isSide(size)) return size;
  const { shortest_edge: shorter, width, height } = size as Json;
  if (isSide(shorter)) return shorter;
  return isSide(width) && isSide(height) ? { width, height } : undefined;
}

function squareOf(value: Json | number | null | undefined, absent: number): number | undefined {
  const size = sizeOf(value, absent);
  if (typeof size !== 'object') return size;
  return size.width === size.height ? size.width : undefined;
}

function threeOf(value: unknown, absent: readonly number[], above = Number.NEGATIVE_INFINITY) {
  const list: unknown = value ?? absent;
  const right = Array.isArray(list) && list.length === 3 && list.every((x) => Number.isFinite(x) && x > above);
  return right ? (list as readonly number[]) : undefined;
}
