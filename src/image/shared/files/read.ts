// Bytes -> what they say they are. The bytes decide, not a declared type.

import { readBmp } from './bmp.js';
import type { PictureFile } from './file.js';
import { readGif } from './gif.js';
import { readHeif } from './heif.js';
import { readJpeg } from './jpeg.js';
import { readPng } from './png.js';
import { readTiff } from './tiff.js';
import { readWebp } from './webp.js';

export const readable = 'PNG, JPEG, WebP, AVIF, HEIC, GIF, TIFF or BMP';

const readers = [readPng, readJpeg, readWebp, readHeif, readGif, readTiff, readBmp];

/** Costs what walking over the file's parts costs, and unpacks nothing. @returns undefined for what is none of the formats @throws PictureError */
export function readFile(bytes: Buffer): PictureFile | undefined {
  for (const read of readers) {
    const file = read(bytes);
    if (file) return file;
  }
  return undefined;
}
