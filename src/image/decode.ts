// Uploaded bytes -> Pixels in the size that the model wants. The bytes decide what they are, not the declared type.

import sharp, { type Metadata } from 'sharp';
import type { Pixels } from '../pixels.js';
import type { Rgb } from './colour.js';
import { PictureError } from './picture-error.js';

// libvips can read far more (SVG, PDF, ImageMagick's formats); what is not on the list is blocked inside it.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Heif', 'Nsgif', 'Tiff'].map((loader) => `VipsForeignLoad${loader}Buffer`),
});
sharp.cache(false); // requests have nothing in common that a cache could keep

const readable = 'PNG, JPEG, WebP, AVIF, GIF or TIFF';

export type Fit = 'cover' | 'contain' | 'fill';

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
  { bytes, metadata }: Starter,
  { width, height }: { width: number; height: number },
  fit: Fit,
  background: Rgb,
): Promise<{ pixels: Pixels; converted: Conversion[] }> {
  const [r, g, b] = background;
  const image = sharp(bytes, { limitInputPixels: false, failOn: 'warning', pages: 1 });
  // libvips takes 16-bit pictures for P3 otherwise, and grey ones stay grey; CMYK has a conversion of its own.
  if (metadata.space !== 'cmyk') image.pipelineColourspace('srgb');
  let rgba: Buffer;
  try {
    rgba = await image
      .autoOrient()
      .resize(width, height, { fit, background: { r, g, b, alpha: 1 }, kernel: 'lanczos3' })
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
  return { pixels: { data, width, height }, converted };
}

/**
 * Decodes a mask that was inspected, fitted as its starter is: one byte per pixel, 255 for white, 0 for black and transparent.
 * @param channel `transparency` reads the other thing that masks are made of: 255 where the picture is transparent
 * @throws PictureError
 */
export async function decodeMask(
  mask: Starter,
  size: { width: number; height: number },
  fit: Fit,
  channel: 'luminance' | 'transparency' = 'luminance',
): Promise<Uint8Array> {
  const image = sharp(mask.bytes, { limitInputPixels: false, failOn: 'warning', pages: 1 });
  if (mask.metadata.space !== 'cmyk') image.pipelineColourspace('srgb');
  // Bars that `contain` adds are kept as they are: black, and not transparent.
  const background = { r: 0, g: 0, b: 0, alpha: 1 };
  try {
    const rgba = await image
      .autoOrient()
      .resize(size.width, size.height, { fit, background, kernel: 'linear' })
      .toColourspace('srgb')
      .ensureAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer();
    const data = new Uint8Array(rgba.length / 4);
    for (let i = 0; i < data.length; i++) {
      const [r, g, b, alpha] = [rgba[4 * i]!, rgba[4 * i + 1]!, rgba[4 * i + 2]!, rgba[4 * i + 3]!];
      // Rec. 601, as Pillow's conversion to grey.
      const grey = (299 * r + 587 * g + 114 * b) / 1000;
      data[i] = Math.round(channel === 'luminance' ? (grey * alpha) / 255 : 255 - alpha);
    }
    return data;
  } catch (error) {
    throw undecodable(error);
  }
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
