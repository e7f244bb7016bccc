// Uploaded bytes -> Pixels in the size that the model wants. The bytes decide what they are, not the declared type.

import sharp, { type Metadata, type Sharp } from 'sharp';
import type { Pixels } from '../pixels.js';
import type { Rgb } from './colour.js';
import { PictureError } from './picture-error.js';
import type { Size } from './size.js';

// libvips can read far more (SVG, PDF, ImageMagick's formats); what is not on the list is blocked inside it.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Heif', 'Nsgif', 'Tiff'].map((loader) => `VipsForeignLoad${loader}Buffer`),
});
sharp.cache(false); // requests have nothing in common that a cache could keep

const readable = 'PNG, JPEG, WebP, AVIF, GIF or TIFF';

/** sharp's words, and `extend`: as `contain`, but its bars repeat the picture's edges. */
export type Fit = 'cover' | 'contain' | 'fill' | 'extend';

/** An upload whose header was read. */
export interface Starter {
  /** As a person sees it: EXIF orientation applied. */
  readonly width: number;
  readonly height: number;
  readonly bytes: Buffer;
  readonly metadata: Metadata;
}

/** What a conversion to sRGB bytes of one frame changed. */
export type Conversion = 'colour_space' | 'bit_depth' | 'transparency' | 'animation';

/**
 * Reads the header of an upload.
 * @param maxPixels width times height at most
 * @throws PictureError
 */
export async function inspect(bytes: Buffer, maxPixels: number): Promise<Starter> {
  let metadata: Metadata;
  try {
    metadata = await sharp(bytes, { limitInputPixels: false }).metadata();
  } catch {
    throw new PictureError('unsupported_picture', `The upload is not a picture that can be read; send ${readable}.`);
  }
  if (metadata.format === 'heif' && metadata.compression !== 'av1') {
    throw new PictureError('unsupported_picture', `HEIC pictures cannot be read; send ${readable}.`);
  }
  const { width, height } = metadata.autoOrient;
  if (width * height > maxPixels) {
    throw new PictureError(
      'picture_too_large',
      `The picture has ${width} x ${height} = ${width * height} pixels; at most ${maxPixels} are accepted.`,
    );
  }
  return { width, height, bytes, metadata };
}

/**
 * Decodes a picture that was inspected, to sRGB without alpha.
 * @param background what transparency, and the bars of `contain`, are filled with
 * @throws PictureError
 */
export async function decode(
  starter: Starter,
  size: Size,
  fit: Fit,
  background: Rgb,
): Promise<{ pixels: Pixels; converted: Conversion[] }> {
  const { bytes, metadata } = starter;
  const [r, g, b] = background;
  const image = sharp(bytes, { limitInputPixels: false, failOn: 'warning', pages: 1 });
  // libvips takes 16-bit pictures for P3 otherwise, and grey ones stay grey; CMYK has a conversion of its own.
  if (metadata.space !== 'cmyk') image.pipelineColourspace('srgb');
  let rgba: Buffer;
  try {
    rgba = await fitted(image.autoOrient(), starter, size, fit, {
      background: { r, g, b, alpha: 1 },
      kernel: 'lanczos3',
    })
      .toColourspace('srgb')
      .ensureAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer();
  } catch (error) {
    throw undecodable(error);
  }
  const { data, wasTransparent } = flatten(rgba, background);
  const converted: Conversion[] = [];
  if (metadata.space === 'cmyk' || (metadata.icc && !isSrgb(metadata.icc))) converted.push('colour_space');
  if (metadata.depth !== 'uchar') converted.push('bit_depth');
  if (wasTransparent) converted.push('transparency');
  if ((metadata.pages ?? 1) > 1) converted.push('animation');
  return { pixels: { data, width: size.width, height: size.height }, converted };
}

/** How a mask's picture is meant. */
export interface MaskReading {
  /** `transparency` reads the other thing that masks are made of: 255 where the picture is transparent. */
  readonly channel?: 'luminance' | 'transparency';
  /** 255 for what would be 0. */
  readonly invert?: boolean;
  /** Standard deviation of a Gaussian in pixels of the answer, 0.3 or more; 0 leaves the edges as they are. */
  readonly blur?: number;
}

/**
 * Decodes a mask that was inspected, fitted as its starter is: one byte per pixel, 255 for white, 0 for black and transparent.
 * @param reading how the picture is meant
 * @throws PictureError
 */
export async function decodeMask(
  mask: Starter,
  size: Size,
  fit: Fit,
  { channel = 'luminance', invert = false, blur = 0 }: MaskReading = {},
): Promise<Uint8Array> {
  const image = sharp(mask.bytes, { limitInputPixels: false, failOn: 'warning', pages: 1 });
  if (mask.metadata.space !== 'cmyk') image.pipelineColourspace('srgb');
  // Bars that `contain` adds are kept as they are: black, and not transparent.
  const background = { r: 0, g: 0, b: 0, alpha: 1 };
  try {
    fitted(image.autoOrient(), mask, size, fit, { background, kernel: 'linear' }).toColourspace('srgb').ensureAlpha();
    if (blur > 0) image.blur(blur);
    const rgba = await image.raw({ depth: 'uchar' }).toBuffer();
    const data = new Uint8Array(rgba.length / 4);
    for (let i = 0; i < data.length; i++) {
      const [r, g, b, alpha] = [rgba[4 * i]!, rgba[4 * i + 1]!, rgba[4 * i + 2]!, rgba[4 * i + 3]!];
      // Rec. 601, as Pillow's conversion to grey.
      const grey = (299 * r + 587 * g + 114 * b) / 1000;
      const value = Math.round(channel === 'luminance' ? (grey * alpha) / 255 : 255 - alpha);
      data[i] = invert ? 255 - value : value;
    }
    return data;
  } catch (error) {
    throw undecodable(error);
  }
}

/** Resizes as `fit` says. */
function fitted(
  image: Sharp,
  { width, height }: Size,
  size: Size,
  fit: Fit,
  {
    background,
    kernel,
  }: { background: { r: number; g: number; b: number; alpha: number }; kernel: 'lanczos3' | 'linear' },
): Sharp {
  if (fit !== 'extend') return image.resize(size.width, size.height, { fit, background, kernel });
  const scale = Math.min(size.width / width, size.height / height);
  const inner = {
    width: Math.min(Math.max(Math.round(width * scale), 1), size.width),
    height: Math.min(Math.max(Math.round(height * scale), 1), size.height),
  };
  const left = Math.floor((size.width - inner.width) / 2);
  const top = Math.floor((size.height - inner.height) / 2);
  return image.resize(inner.width, inner.height, { fit: 'fill', kernel }).extend({
    left,
    top,
    right: size.width - inner.width - left,
    bottom: size.height - inner.height - top,
    extendWith: 'copy',
  });
}

function undecodable(error: unknown): PictureError {
  const reason = (error as Error).message.split('\n')[0]!.replace(/\.$/, '');
  return new PictureError('undecodable_picture', `The picture is damaged or cut off: ${reason}.`);
}

function flatten(rgba: Buffer, background: Rgb): { data: Uint8Array; wasTransparent: boolean } {
  const data = new Uint8Array((rgba.length / 4) * 3);
  let wasTransparent = false;
  for (let i = 0, o = 0; i < rgba.length; i += 4, o += 3) {
    const alpha = rgba[i + 3]! / 255;
    if (alpha < 1) wasTransparent = true;
    for (let c = 0; c < 3; c++) data[o + c] = Math.round(rgba[i + c]! * alpha + background[c]! * (1 - alpha));
  }
  return { data, wasTransparent };
}

/** By the profile's description, in ASCII or UTF-16. */
function isSrgb(profile: Buffer): boolean {
  return profile.toString('latin1').replaceAll('\0', '').includes('sRGB');
}
