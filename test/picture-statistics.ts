// Simple statistics of pictures, all on bytes scaled to 0..1. They say in numbers what a person sees at a glance.

import sharp from 'sharp';

export interface Picture {
  readonly data: Uint8Array; // [height * width * 3]
  readonly width: number;
  readonly height: number;
}

export async function read(bytes: Buffer): Promise<Picture> {
  const { data, info } = await sharp(bytes)
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** Root mean square difference over all channels. */
export function distance(a: Picture, b: Picture): number {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += ((a.data[i]! - b.data[i]!) / 255) ** 2;
  return Math.sqrt(sum / a.data.length);
}

/** Mean luma (Rec. 709). */
export function brightness(picture: Picture): number {
  return mean(lumaOf(picture));
}

/** Mean of the largest minus the smallest channel: 0 is grey. */
export function chroma({ data }: Picture): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 3) {
    sum += Math.max(data[i]!, data[i + 1]!, data[i + 2]!) - Math.min(data[i]!, data[i + 1]!, data[i + 2]!);
  }
  return sum / (data.length / 3) / 255;
}

/** Mean absolute difference of luma between neighbours, along both axes. */
export function edgeDensity(picture: Picture): number {
  const { width, height } = picture;
  const luma = lumaOf(picture);
  let sum = 0;
  for (let y = 0; y + 1 < height; y++) {
    for (let x = 0; x + 1 < width; x++) {
      const i = y * width + x;
      sum += Math.abs(luma[i + 1]! - luma[i]!) + Math.abs(luma[i + width]! - luma[i]!);
    }
  }
  return sum / ((width - 1) * (height - 1)) / 2;
}

/** How far the mean colour lies towards a direction in RGB; the direction's length does not count. */
export function towards(picture: Picture, direction: readonly [number, number, number]): number {
  const means = meanColour(picture);
  const grey = (means[0] + means[1] + means[2]) / 3;
  const length = Math.hypot(...direction);
  return direction.reduce((sum, d, c) => sum + (d / length) * (means[c]! - grey), 0);
}

export function meanColour({ data }: Picture): [number, number, number] {
  const sums: [number, number, number] = [0, 0, 0];
  for (let i = 0; i < data.length; i++) sums[i % 3]! += data[i]! / 255;
  return sums.map((sum) => sum / (data.length / 3)) as [number, number, number];
}

/** Mean colours of a grid of cells, row by row: what is left of a picture when only its colours and their places count. */
export function colourGrid({ data, width, height }: Picture, cells: number): Float64Array {
  const grid = new Float64Array(cells * cells * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const cell = Math.floor((y * cells) / height) * cells + Math.floor((x * cells) / width);
      for (let c = 0; c < 3; c++) grid[3 * cell + c]! += data[3 * (y * width + x) + c]! / 255;
    }
  }
  return grid.map((sum) => (sum * cells * cells) / (width * height));
}

/** Pearson's correlation of two lists. */
export function correlation(a: Float64Array, b: Float64Array): number {
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += (a[i]! - meanA) * (b[i]! - meanB);
    aa += (a[i]! - meanA) ** 2;
    bb += (b[i]! - meanB) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

function lumaOf({ data }: Picture): Float64Array {
  const luma = new Float64Array(data.length / 3);
  for (let i = 0; i < luma.length; i++) {
    luma[i] = (0.2126 * data[3 * i]! + 0.7152 * data[3 * i + 1]! + 0.0722 * data[3 * i + 2]!) / 255;
  }
  return luma;
}
