// HEIC -> RGBA by libheif and libde265 as WebAssembly (libheif-js, LGPL-3.0, unmodified): sharp's own libheif has no HEVC.

import { createRequire } from 'node:module';
import { PictureError } from '../shared/picture-error.js';
import type { Samples } from './wrap.js';

interface HeifImage {
  is_primary(): boolean;
  get_width(): number;
  get_height(): number;
  has_alpha_channel(): boolean;
  display(
    target: { data: Uint8ClampedArray; width: number; height: number },
    done: (target: { data: Uint8ClampedArray } | null) => void,
  ): void;
}

interface LibHeif {
  readonly HeifDecoder: new () => { decode(bytes: Uint8Array): HeifImage[] };
}

/**
 * Transformations are applied, samples of more bits are rounded to 8.
 * @param size that its header says
 * @throws PictureError for one that is damaged, or of another size
 */
export async function decodeHeic(bytes: Buffer, size: { width: number; height: number }): Promise<Samples> {
  const { HeifDecoder } = createRequire(import.meta.url)('libheif-js/wasm-bundle') as LibHeif;
  const images = new HeifDecoder().decode(bytes);
  const image = images.find((one) => one.is_primary()) ?? images[0];
  if (!image) throw new PictureError('undecodable_picture', 'The picture is damaged or cut off: no picture is in it.');
  const [width, height] = [image.get_width(), image.get_height()];
  if (width !== size.width || height !== size.height) {
    throw new PictureError(
      'undecodable_picture',
      `The picture is damaged: its parts say ${size.width} x ${size.height} and ${width} x ${height}.`,
    );
  }
  const data = new Uint8ClampedArray(width * height * 4);
  const shown = await new Promise<unknown>((resolve) => image.display({ data, width, height }, resolve));
  if (!shown) throw new PictureError('undecodable_picture', 'The picture is damaged or cut off: it cannot be decoded.');
  const alpha = image.has_alpha_channel();
  return { data: alpha ? new Uint8Array(data.buffer) : withoutAlpha(data), width, height, colours: 3, alpha };
}

/** Moved together in place: the picture may be large. */
function withoutAlpha(rgba: Uint8ClampedArray): Uint8Array {
  let at = 0;
  for (let i = 0; i < rgba.length; i += 4) {
    rgba[at++] = rgba[i]!;
    rgba[at++] = rgba[i + 1]!;
    rgba[at++] = rgba[i + 2]!;
  }
  return new Uint8Array(rgba.buffer, 0, at);
}
