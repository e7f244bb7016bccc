// Coding-independent code points: the numbers by which PNG's cICP and AVIF's and HEIC's nclx name colours.
// Source: ITU-T H.273 (07/2024), tables 2 and 3.

import type { Chromaticities, ColourDescription, Transfer } from './file.js';

const d65 = [0.3127, 0.329] as const;
export const srgbPrimaries: Chromaticities = [[0.64, 0.33], [0.3, 0.6], [0.15, 0.06], d65];

/** Standard definition video's (5 to 7) differ from sRGB's by less than is seen, and are written without thought. */
const primariesOf: Readonly<Record<number, Chromaticities>> = {
  1: srgbPrimaries,
  4: [
    [0.67, 0.33],
    [0.21, 0.71],
    [0.14, 0.08],
    [0.31, 0.316],
  ],
  9: [[0.708, 0.292], [0.17, 0.797], [0.131, 0.046], d65],
  11: [
    [0.68, 0.32],
    [0.265, 0.69],
    [0.15, 0.06],
    [0.314, 0.351],
  ],
  12: [[0.68, 0.32], [0.265, 0.69], [0.15, 0.06], d65],
};

/** Video's curve (1, 6, 14, 15) is shown as sRGB's by everything that shows pictures; so is what is unspecified. */
const transferOf: Readonly<Record<number, Transfer>> = {
  4: { gamma: 2.2 },
  5: { gamma: 2.8 },
  8: 'linear',
  16: 'pq',
  18: 'hlg',
};

/** @returns undefined for sRGB, and for numbers that say nothing */
export function codedColours(primaries: number, transfer: number): ColourDescription | undefined {
  const wide = primariesOf[primaries] ?? srgbPrimaries;
  const curve = transferOf[transfer] ?? 'srgb';
  return wide === srgbPrimaries && curve === 'srgb' ? undefined : { primaries: wide, transfer: curve };
}
