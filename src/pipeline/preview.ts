// Small pictures of latents without the VAE's decoder: by a tiny autoencoder, in a quarter of the sides, or by one linear map from a
// latent's channels to RGB, fitted by least squares on what the model's own encoder makes of a colourful picture. One pixel per
// latent, so 1/64 of the picture at the usual scale.

import type { Pixels } from '../pixels.js';
import type { Generation } from './img2img.js';
import type { Model } from './model.js';
import { TorchGenerator } from './numbers/noise.js';
import { decodeTiny, encodeStarters } from './vae.js';

/** For red, green and blue: a weight per channel, and the constant; the sum is -1..1. */
export type PreviewMap = readonly (readonly number[])[]; // [3][channels + 1]

/** Sides of the squares of colour that the fit looks at, in latents. */
const patch = 2;

/** A picture of this side has colours enough, 64 of them; a larger one takes seconds on a CPU. */
const enough = 128;

/** One call of the VAE's encoder, at the model's native size or that halved until it is small. */
export async function fitPreview(model: Model): Promise<PreviewMap> {
  const { size, vaeScale, vaeChannels } = model.folder;
  let pictureSide = size.native;
  while (pictureSide > enough && pictureSide % (2 * patch * vaeScale) === 0) pictureSide /= 2;
  const pixels = colourfulPicture(pictureSide, patch * vaeScale);
  const [latents] = await encodeStarters(model, [{ pixels, generator: undefined }]);
  const side = pictureSide / vaeScale;
  const rows = Array.from({ length: side * side }, (_, i) => featuresOf(latents!, vaeChannels, i));
  return [0, 1, 2].map((c) => {
    const wanted = rows.map((_, i) => {
      const [x, y] = [(i % side) * vaeScale, Math.floor(i / side) * vaeScale];
      return pixels.data[3 * (y * pictureSide + x) + c]! / 127.5 - 1; // a patch has one colour
    });
    return leastSquares(rows, wanted);
  });
}

/** In the scale of the UNet's input, where noise of every strength has about the spread of a picture. */
const scaledLatents = ({ latents, scheduler, index }: Generation): Float32Array =>
  index < scheduler.timesteps.length ? scheduler.scaleModelInput(latents, index) : latents;

/** As few pixels as serve: previews wait in memory for whoever reads them. */
const shrink = 4;

/** The picture of where a generation stands, noise and all, by the tiny decoder that the model has. */
export async function tinyPreviewOf(model: Model, generation: Generation): Promise<Pixels> {
  const [picture] = await decodeTiny(model, [scaledLatents(generation)], generation.shape);
  return shrunk(picture!, Math.min(shrink, model.folder.vaeScale));
}

/** The mean of each square of so many pixels. */
function shrunk({ data, width, height }: Pixels, times: number): Pixels {
  const small = { width: Math.floor(width / times), height: Math.floor(height / times) };
  const means = new Uint8Array(3 * small.width * small.height);
  for (let i = 0; i < means.length; i++) {
    const [c, pixel] = [i % 3, Math.floor(i / 3)];
    const [left, top] = [times * (pixel % small.width), times * Math.floor(pixel / small.width)];
    let sum = 0;
    for (let y = top; y < top + times; y++) {
      for (let x = left; x < left + times; x++) sum += data[3 * (y * width + x) + c]!;
    }
    means[i] = Math.round(sum / times ** 2);
  }
  return { data: means, ...small };
}

/** The picture of where a generation stands, noise and all. */
export function previewOf(map: PreviewMap, generation: Generation): Pixels {
  const [channels, height, width] = generation.shape;
  const scaled = scaledLatents(generation);
  const data = new Uint8Array(3 * height * width);
  for (let i = 0; i < height * width; i++) {
    const features = featuresOf(scaled, channels, i);
    for (const [c, weights] of map.entries()) {
      const value = weights.reduce((sum, weight, k) => sum + weight * features[k]!, 0);
      data[3 * i + c] = Math.round(Math.min(Math.max((value + 1) * 127.5, 0), 255));
    }
  }
  return { data, width, height };
}

/** A latent's channels, and 1 for the constant. */
function featuresOf(latents: Float32Array, channels: number, position: number): number[] {
  const plane = latents.length / channels;
  return Array.from({ length: channels + 1 }, (_, c) => (c < channels ? latents[c * plane + position]! : 1));
}

/** Squares of random colours. */
function colourfulPicture(side: number, square: number): Pixels {
  const perRow = Math.ceil(side / square);
  const colours = new TorchGenerator(0).randn(3 * perRow ** 2);
  const data = new Uint8Array(3 * side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const patchIndex = Math.floor(y / square) * perRow + Math.floor(x / square);
      for (let c = 0; c < 3; c++) {
        data[3 * (y * side + x) + c] = Math.min(Math.max(127.5 + 64 * colours[3 * patchIndex + c]!, 0), 255);
      }
    }
  }
  return { data, width: side, height: side };
}

/** The weights w that bring rows * w closest to `wanted`, by the normal equations; a little ridge keeps them solvable. */
function leastSquares(rows: readonly (readonly number[])[], wanted: readonly number[]): number[] {
  const n = rows[0]!.length;
  const system = Array.from({ length: n }, (_, i) => {
    const line = Array.from({ length: n }, (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0));
    line[i]! += 1e-6 * rows.length;
    return [...line, rows.reduce((sum, row, k) => sum + row[i]! * wanted[k]!, 0)];
  });
  // Gauss and Jordan, with the largest pivot.
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let i = column + 1; i < n; i++) {
      if (Math.abs(system[i]![column]!) > Math.abs(system[pivot]![column]!)) pivot = i;
    }
    [system[column], system[pivot]] = [system[pivot]!, system[column]!];
    const top = system[column]!;
    for (const [i, line] of system.entries()) {
      if (i === column) continue;
      const factor = line[column]! / top[column]!;
      for (let j = column; j <= n; j++) line[j]! -= factor * top[j]!;
    }
  }
  return system.map((line, i) => line[n]! / line[i]!);
}
