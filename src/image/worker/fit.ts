// Where the pixels of a picture come to lie: in which size it is unpacked, how it is turned, and what bars it gets.

import type { Fit } from '../shared/messages.js';
import type { Size } from '../size.js';

export interface Placement {
  /** What the upright picture is resized to, by cutting (`cover`) or by stretching (`fill`). */
  readonly inner: Size;
  readonly resize: 'cover' | 'fill';
  readonly left: number;
  readonly top: number;
}

/** @param upright the picture's size as a person sees it */
export function place(upright: Size, size: Size, fit: Fit): Placement {
  if (fit === 'cover' || fit === 'fill') return { inner: size, resize: fit, left: 0, top: 0 };
  const scale = Math.min(size.width / upright.width, size.height / upright.height);
  const inner = {
    width: Math.min(Math.max(Math.round(upright.width * scale), 1), size.width),
    height: Math.min(Math.max(Math.round(upright.height * scale), 1), size.height),
  };
  const left = Math.floor((size.width - inner.width) / 2);
  return { inner, resize: 'fill', left, top: Math.floor((size.height - inner.height) / 2) };
}

export const turnsSides = (orientation: number) => orientation >= 5;

/**
 * Applies EXIF's orientation.
 * @param size of the picture as stored
 * @returns the samples of the upright picture
 */
export function upright<T extends Uint8Array | Uint16Array>(
  samples: T,
  { width, height }: Size,
  channels: number,
  orientation: number,
): T {
  if (orientation <= 1) return samples;
  const turned = turnsSides(orientation);
  const [across, down] = turned ? [height, width] : [width, height];
  const fromRight = [2, 3, 7, 8].includes(orientation);
  const fromBottom = [3, 4, 6, 7].includes(orientation);
  const out = new (samples.constructor as new (length: number) => T)(samples.length);
  for (let y = 0, at = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      const [column, row] = turned ? [y, x] : [x, y];
      const from =
        ((fromBottom ? height - 1 - row : row) * width + (fromRight ? width - 1 - column : column)) * channels;
      for (let c = 0; c < channels; c++) out[at++] = samples[from + c]!;
    }
  }
  return out;
}

/**
 * Puts a picture into its frame.
 * @param bars what surrounds it; absent to repeat its edges
 */
export function framed(
  inner: Uint8Array,
  { inner: { width, height }, left, top }: Placement,
  size: Size,
  channels: number,
  bars: readonly number[] | undefined,
): Uint8Array {
  if (width === size.width && height === size.height) return inner;
  const out = new Uint8Array(size.width * size.height * channels);
  for (let y = 0, at = 0; y < size.height; y++) {
    const row = Math.min(Math.max(y - top, 0), height - 1);
    for (let x = 0; x < size.width; x++) {
      const column = Math.min(Math.max(x - left, 0), width - 1);
      const isInside = column === x - left && row === y - top;
      const from = (row * width + column) * channels;
      for (let c = 0; c < channels; c++) out[at++] = isInside || !bars ? inner[from + c]! : bars[c]!;
    }
  }
  return out;
}
