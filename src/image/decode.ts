// Uploaded bytes -> Pixels in the size that the model wants. The bytes decide what they are, not the declared type.

import sharp, { type Metadata } from 'sharp';
import type { Pixels } from '../pixels.js';
import { PictureError } from './picture-error.js';

// libvips can read far more (SVG, PDF, ImageMagick's formats); what is not on the list is blocked inside it.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Heif', 'Nsgif', 'Tiff'].map((loader) => `VipsForeignLoad${loader}Buffer`),
});
sharp.cache(false); // requests have nothing in common that a cache could keep

const readable = 'PNG, JPEG, WebP, AVIF, GIF or TIFF';

export type Fit = 'cover' | 'contain' | 'fill';

export interface Starter {
  /** As a person sees it: EXIF orientation applied. */
  readonly width: number;
  readonly height: number;
  /** What the conversion to sRGB bytes of one frame changes, beyond the size. */
  readonly converted: readonly ('colour_space' | 'bit_depth' | 'transparency' | 'animation')[];
  readonly bytes: Buffer;
}

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
  const converted: Starter['converted'][number][] = [];
  // A grey picture loses nothing in RGB; an ICC profile is applied and dropped.
  if ((metadata.icc && metadata.space !== 'srgb') || metadata.space === 'cmyk') converted.push('colour_space');
  if (metadata.depth !== 'uchar') converted.push('bit_depth');
  if (metadata.hasAlpha && !(await isOpaque(bytes))) converted.push('transparency');
  if ((metadata.pages ?? 1) > 1 && metadata.format === 'gif') converted.push('animation');
  return { width, height, converted, bytes };
}

/**
 * Decodes a picture that was inspected, to sRGB without alpha.
 * @param background what transparency, and the bars of `contain`, are filled with
 * @throws PictureError
 */
export async function decode(
  starter: Starter,
  size: { width: number; height: number },
  fit: Fit,
  background: string,
): Promise<Pixels> {
  try {
    const { data, info } = await sharp(starter.bytes, { limitInputPixels: false, failOn: 'warning', pages: 1 })
      .autoOrient()
      .flatten({ background })
      .resize(size.width, size.height, { fit, background, kernel: 'lanczos3' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const rgb = info.channels === 3 ? data : spreadGrey(data, info.channels);
    return { data: rgb, width: info.width, height: info.height };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new PictureError('undecodable_picture', `The picture is damaged or cut off: ${firstLine(error.message)}.`);
  }
}

/** Whether a text is a colour that can be a background: `#rgb`, `#rrggbb`, a CSS name. */
export function isColour(text: string): boolean {
  try {
    sharp().flatten({ background: text });
    return true;
  } catch {
    return false;
  }
}

/** Many pictures have an alpha channel, every GIF among them, and use none of it. */
async function isOpaque(bytes: Buffer): Promise<boolean> {
  // A picture that cannot be decoded is decode's to refuse.
  const stats = await sharp(bytes, { limitInputPixels: false, pages: 1 })
    .stats()
    .catch(() => undefined);
  return stats?.isOpaque ?? true;
}

/** libvips keeps a grey picture at one channel. */
function spreadGrey(data: Buffer, channels: number): Uint8Array {
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let i = 0; i < rgb.length / 3; i++) rgb.fill(data[i * channels]!, 3 * i, 3 * i + 3);
  return rgb;
}

function firstLine(message: string): string {
  return message.split('\n')[0]!.replace(/\.$/, '');
}
