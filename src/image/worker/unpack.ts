// A picture's file -> its samples in the size that is wanted, as sRGB bytes with transparency beside them.

import sharp, { type Metadata } from 'sharp';
import type { PictureFile } from '../shared/files/file.js';
import { isSrgb, profileColours } from '../shared/files/profile.js';
import { isPlain } from '../shared/files/tiff.js';
import type { Conversion, Fit } from '../shared/messages.js';
import { PictureError } from '../shared/picture-error.js';
import type { Size } from '../size.js';
import { decodeBmp } from './bmp.js';
import { byProfile, bySrgb } from './colours.js';
import { type Placement, place, turnsSides, upright } from './fit.js';
import { decodeHeic } from './heic.js';
import { type Samples, tiffOf } from './wrap.js';

// libvips can read far more (SVG, PDF, ImageMagick's formats); what is not on the list is blocked inside it.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Heif', 'Nsgif', 'Tiff'].map((loader) => `VipsForeignLoad${loader}Buffer`),
});
sharp.cache(false); // pictures have nothing in common that a cache could keep
sharp.concurrency(1); // one picture a process, and the cores are the models'

/** libjpeg's warnings are about pictures that every viewer shows; a file that is cut off is an error. */
const reading = {
  limitInputPixels: false,
  limitInputChannels: false,
  failOn: 'error',
  pages: 1,
  ignoreIcc: true,
} as const;

export interface Unpacked {
  /** Three bytes a pixel, not multiplied by alpha. */
  readonly rgb: Uint8Array;
  /** A byte a pixel; absent where the file has none. */
  readonly alpha: Uint8Array | undefined;
  readonly placement: Placement;
  readonly converted: readonly Conversion[];
}

/** @throws PictureError */
export async function unpack(
  file: PictureFile,
  size: Size,
  fit: Fit,
  kernel: 'lanczos3' | 'linear',
): Promise<Unpacked> {
  try {
    const source = await sourceOf(file);
    const metadata = await sharp(source, reading).metadata();
    check(file, metadata);
    const turned = turnsSides(file.orientation) ? flipped(file) : file;
    const placement = place(turned, size, fit);
    const { data, channels, max } = await resized(source, metadata, file, placement, kernel);
    const { colours, alpha } = split(data, channels, metadata.space === 'cmyk' ? 4 : 3, max);
    const { rgb, converted } = await toSrgb(file, metadata, colours, max, placement.inner);
    if (file.animated) converted.push('animation');
    return { rgb, alpha, placement, converted };
  } catch (error) {
    if (error instanceof PictureError) throw error;
    throw new PictureError('undecodable_picture', `The picture is damaged or cut off: ${reasonOf(error as Error)}.`);
  }
}

/** libvips' first word about it that is not about its own reading. */
function reasonOf({ message }: Error): string {
  const lines = message.split('\n').filter((line) => line.trim() !== '');
  return (lines.find((line) => !line.startsWith('source:')) ?? lines[0] ?? 'unknown').replace(/\.$/, '');
}

const flipped = ({ width, height }: Size): Size => ({ width: height, height: width });

/** What sharp reads. Formats that it cannot read, and pixels that it would misread, are unpacked first. */
async function sourceOf(file: PictureFile): Promise<Buffer> {
  const bytes = file.essentials();
  if (file.format === 'bmp') return tiffOf(decodeBmp(bytes));
  if (file.format === 'heic') return tiffOf(await decodeHeic(bytes, file));
  if (file.samples && !isPlain(file.samples)) return tiffOf(await withoutExtras(bytes, file));
  return bytes;
}

/** libvips takes the last extra sample for transparency, whatever it is. */
async function withoutExtras(bytes: Buffer, { samples, width, height }: PictureFile): Promise<Samples> {
  const image = sharp(bytes, reading);
  const { space, depth } = await image.metadata();
  refuseDepth(depth);
  const colours = space === 'cmyk' ? 4 : 3;
  if (colours === 4) image.pipelineColourspace('cmyk').toColourspace('cmyk');
  const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  const { alpha, colours: own } = samples!;
  const alphaAt = alpha && colours + alpha.index - own;
  const out = new Uint8Array(width * height * (colours + (alpha ? 1 : 0)));
  for (let i = 0, at = 0; i < data.length; i += info.channels) {
    const opacity = alphaAt === undefined ? 255 : data[i + alphaAt]!;
    // Colours that were multiplied by their transparency are wanted as they were before.
    const scale = alpha?.associated && opacity > 0 ? 255 / opacity : 1;
    for (let c = 0; c < colours; c++) out[at++] = Math.min(Math.round(data[i + c]! * scale), 255);
    if (alpha) out[at++] = opacity;
  }
  return { data: out, width, height, colours, alpha: alpha !== undefined };
}

/** A header that lies would have been admitted for less than it takes. */
function check(file: PictureFile, { width, height, depth }: Metadata): void {
  refuseDepth(depth);
  if (width === file.width && height === file.height) return;
  throw new PictureError(
    'undecodable_picture',
    `The picture is damaged: its parts say ${file.width} x ${file.height} and ${width} x ${height}.`,
  );
}

function refuseDepth(depth: string | undefined): void {
  if (depth === 'uchar' || depth === 'ushort') return;
  const sentence = `The picture's samples are of the type ${depth}, for which no file says what white is; send 8 or 16 bits.`;
  throw new PictureError('unsupported_picture', sentence);
}

interface Resized {
  readonly data: Uint8Array | Uint16Array;
  readonly channels: number;
  readonly max: 255 | 65535;
}

/** In the colours of the file: a conversion of a small picture costs less than one of a large one. */
async function resized(
  source: Buffer,
  { space, depth }: Metadata,
  { orientation }: PictureFile,
  { inner, resize }: Placement,
  kernel: 'lanczos3' | 'linear',
): Promise<Resized> {
  const stored = turnsSides(orientation) ? flipped(inner) : inner;
  const image = sharp(source, reading).resize(stored.width, stored.height, {
    fit: resize,
    kernel,
    fastShrinkOnLoad: false,
  });
  const deep = depth === 'ushort' && space !== 'cmyk';
  if (space === 'cmyk') image.pipelineColourspace('cmyk').toColourspace('cmyk');
  else image.toColourspace(deep ? 'rgb16' : 'srgb');
  const { data, info } = await image.raw({ depth: deep ? 'ushort' : 'uchar' }).toBuffer({ resolveWithObject: true });
  const samples = deep ? new Uint16Array(data.buffer, data.byteOffset, data.length / 2) : data;
  const { channels } = info;
  return { data: upright(samples, stored, channels, orientation), channels, max: deep ? 65535 : 255 };
}

function split(data: Uint8Array | Uint16Array, channels: number, colours: 3 | 4, max: number) {
  if (channels === colours) return { colours: data, alpha: undefined };
  const pixels = data.length / channels;
  const own = data.slice(0, pixels * colours);
  const alpha = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < colours; c++) own[i * colours + c] = data[i * channels + c]!;
    alpha[i] = Math.round((data[i * channels + colours]! * 255) / max);
  }
  return { colours: own, alpha };
}

async function toSrgb(
  file: PictureFile,
  { space, depth }: Metadata,
  colours: Uint8Array | Uint16Array,
  max: number,
  size: Size,
): Promise<{ rgb: Uint8Array; converted: Conversion[] }> {
  const converted: Conversion[] = depth !== 'uchar' || file.deep ? ['bit_depth'] : [];
  const profile = file.profile?.();
  const count = space === 'cmyk' ? 4 : space === 'b-w' || space === 'grey16' ? 1 : 3;
  const fitting = profile && profileColours(profile) === count ? profile : undefined;
  if (fitting || count === 4) {
    if (!fitting || !isSrgb(fitting)) converted.unshift('colour_space');
    const bytes = eightBits(colours, max);
    return { rgb: await byProfile(count === 1 ? first(bytes) : bytes, size, count, fitting), converted };
  }
  if (!file.colours) return { rgb: eightBits(colours, max), converted };
  const { data, clipped } = bySrgb(colours, max, file.colours);
  converted.unshift('colour_space');
  if (clipped) converted.push('highlights');
  return { rgb: data, converted };
}

function eightBits(samples: Uint8Array | Uint16Array, max: number): Uint8Array {
  return samples instanceof Uint8Array ? samples : Uint8Array.from(samples, (v) => Math.round((v * 255) / max));
}

/** Of three equal samples a pixel. */
function first(rgb: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: rgb.length / 3 }, (_, i) => rgb[3 * i]!);
}
