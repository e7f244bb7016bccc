// ICC profiles: how large one may be, and what its header says. Source: ICC.1:2022, 7.2.

import { PictureError } from '../picture-error.js';

/** Printers' profiles have a megabyte or two. */
export const maxProfileBytes = 4 * 1024 * 1024;

export function profileTooLarge(): PictureError {
  return new PictureError(
    'picture_too_large',
    `The picture's colour profile is larger than ${maxProfileBytes} bytes; at most that many are read.`,
  );
}

/** Samples per pixel of what a profile describes; undefined for what is no profile of pictures. */
export function profileColours(profile: Buffer): 1 | 3 | 4 | undefined {
  if (profile.length < 132 || profile.toString('latin1', 36, 40) !== 'acsp') return undefined;
  const counts: Record<string, 1 | 3 | 4> = { GRAY: 1, 'RGB ': 3, CMYK: 4 };
  return counts[profile.toString('latin1', 16, 20)];
}

/** By the profile's description, in ASCII or UTF-16. */
export function isSrgb(profile: Buffer): boolean {
  return profile.toString('latin1').replaceAll('\0', '').includes('sRGB');
}
