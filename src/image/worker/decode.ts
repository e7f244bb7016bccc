// Uploaded bytes -> Pixels, or a mask, in the size that the model wants.

import sharp from 'sharp';
import type { PictureFile } from '../shared/files/file.js';
import { readable, readFile } from '../shared/files/read.js';
import type {
  Conversion,
  Decoded,
  DecodedMask,
  DecodedPicture,
  MaskWork,
  PictureWork,
  Work,
} from '../shared/messages.js';
import { PictureError } from '../shared/picture-error.js';
import type { Size } from '../size.js';
import { framed } from './fit.js';
import { type Unpacked, unpack } from './unpack.js';

/** @throws PictureError */
export async function run(work: Work): Promise<Decoded> {
  const file = readFile(work.bytes);
  if (!file) {
    throw new PictureError('unsupported_picture', `The upload is not a picture that can be read; send ${readable}.`);
  }
  return work.kind === 'picture' ? picture(file, work) : mask(file, work);
}

/** To sRGB without alpha. */
async function picture(file: PictureFile, { size, fit, background }: PictureWork): Promise<DecodedPicture> {
  const unpacked = await unpack(file, size, fit, 'lanczos3');
  const { rgb, wasTransparent } = flatten(unpacked, background);
  const data = framed(rgb, unpacked.placement, size, 3, fit === 'extend' ? undefined : background);
  const converted: Conversion[] = [...unpacked.converted];
  if (wasTransparent) converted.push('transparency');
  return { pixels: { data, ...size }, converted };
}

function flatten({ rgb, alpha }: Unpacked, background: readonly number[]) {
  if (!alpha) return { rgb, wasTransparent: false };
  let wasTransparent = false;
  for (let i = 0; i < alpha.length; i++) {
    const opacity = alpha[i]! / 255;
    if (opacity === 1) continue;
    wasTransparent = true;
    for (let c = 0; c < 3; c++) {
      rgb[3 * i + c] = Math.round(rgb[3 * i + c]! * opacity + background[c]! * (1 - opacity));
    }
  }
  return { rgb, wasTransparent };
}

async function mask(file: PictureFile, { size, fit, reading }: MaskWork): Promise<DecodedMask> {
  const { channel = 'luminance', invert = false, blur = 0 } = reading;
  const { rgb, alpha, placement } = await unpack(file, size, fit, 'linear');
  const opacity = (i: number) => alpha?.[i] ?? 255;
  // Rec. 601, as Pillow's conversion to grey.
  const grey = (i: number) => (299 * rgb[3 * i]! + 587 * rgb[3 * i + 1]! + 114 * rgb[3 * i + 2]!) / 1000;
  const read = {
    luminance: (i: number) => (grey(i) * opacity(i)) / 255,
    transparency: (i: number) => 255 - opacity(i),
    opacity: alpha?.some((value) => value < 255) ? opacity : grey,
  }[channel];
  const values = Uint8Array.from({ length: rgb.length / 3 }, (_, i) => Math.round(read(i)));
  // Bars that `contain` adds are kept as they are.
  const whole = framed(values, placement, size, 1, fit === 'extend' ? undefined : [0]);
  const soft = blur > 0 ? await blurred(whole, size, blur) : whole;
  return { data: invert ? soft.map((value) => 255 - value) : soft, hasAlpha: alpha !== undefined };
}

function blurred(values: Uint8Array, { width, height }: Size, sigma: number): Promise<Uint8Array> {
  const image = sharp(values, { raw: { width, height, channels: 1 } });
  return image.blur(sigma).toColourspace('b-w').raw().toBuffer();
}
