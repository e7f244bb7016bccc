// WebP: RIFF chunks. Source: RFC 9649, 2.

import { damaged } from '../picture-error.js';
import { exifOrientation } from './exif.js';
import { Kept, maxParts, type PictureFile, tooManyParts } from './file.js';
import { maxProfileBytes, profileTooLarge } from './profile.js';

const pixels = new Set(['VP8X', 'ALPH', 'VP8 ', 'VP8L', 'ANIM', 'ANMF']);
/** Of VP8X's flags those of an animation and of transparency. */
const pixelFlags = 0b0001_0010;

export function readWebp(bytes: Buffer): PictureFile | undefined {
  if (bytes.toString('latin1', 0, 4) !== 'RIFF' || bytes.toString('latin1', 8, 12) !== 'WEBP') return undefined;
  let size: { width: number; height: number } | undefined;
  let orientation = 1;
  let frames = 0;
  let icc: Buffer | undefined;
  const kept: [name: string, start: number, end: number][] = [];
  for (const [name, start, end] of chunks(bytes)) {
    const data = bytes.subarray(start + 8, end);
    size ??= sizeOf(name, data);
    if (name === 'EXIF' && orientation === 1) orientation = exifOrientation(data);
    if (name === 'ICCP') icc ??= data;
    if (name === 'ANMF' && ++frames > 1) continue;
    if (pixels.has(name)) kept.push([name, start, end]);
  }
  if (!size || size.width === 0 || size.height === 0) throw damaged('a WebP without a size');
  return {
    format: 'webp',
    ...size,
    orientation,
    animated: frames > 1,
    held: size.width * size.height * 9, // the decoder's planes, its picture, and libvips' copy
    essentials: () => essentials(bytes, kept),
    ...(icc && { profile: () => bounded(icc) }),
  };
}

const nameOf = new Map([...pixels, 'EXIF', 'ICCP'].map((name) => [Buffer.from(name, 'latin1').readUInt32BE(), name]));

/** Those that count, and of frames two; one that is cut off reaches to the end of the file. A million others cost a few steps each. */
function* chunks(bytes: Buffer): Generator<[name: string, start: number, end: number]> {
  for (let start = 12, parts = 0, frames = 0; start + 8 <= bytes.length; ) {
    const length = bytes.readUInt32LE(start + 4);
    const end = start + 8 + length + (length % 2);
    const name = nameOf.get(bytes.readUInt32BE(start));
    if (name !== undefined && !(name === 'ANMF' && ++frames > 2)) {
      if (++parts > maxParts) throw tooManyParts();
      yield [name, start, Math.min(end, bytes.length)];
    }
    start = end;
  }
}

/** Of an extended file the canvas comes first. */
function sizeOf(name: string, data: Buffer): { width: number; height: number } | undefined {
  if (name === 'VP8X' && data.length >= 10) {
    return { width: data.readUIntLE(4, 3) + 1, height: data.readUIntLE(7, 3) + 1 };
  }
  if (name === 'VP8 ' && data.length >= 10 && data.readUIntBE(3, 3) === 0x9d012a) {
    return { width: data.readUInt16LE(6) & 0x3fff, height: data.readUInt16LE(8) & 0x3fff };
  }
  if (name === 'VP8L' && data.length >= 5 && data[0] === 0x2f) {
    const bits = data.readUInt32LE(1);
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
  }
  return undefined;
}

function essentials(bytes: Buffer, chunks: readonly (readonly [name: string, start: number, end: number])[]): Buffer {
  const kept = new Kept(bytes);
  kept.keep(0, 12);
  for (const [, start, end] of chunks) kept.keep(start, end);
  const file = kept.join();
  // What was cut off stays cut off: the length that the file claims shrinks by what was left out only.
  const left = chunks.reduce((sum, [, start, end]) => sum + end - start, 12);
  file.writeUInt32LE(Math.max(bytes.readUInt32LE(4) - (bytes.length - left), 4) & 0xffff_fffe, 4);
  if (chunks[0]?.[0] === 'VP8X') file[20]! &= pixelFlags;
  return file;
}

function bounded(profile: Buffer): Buffer {
  if (profile.length > maxProfileBytes) throw profileTooLarge();
  return profile;
}
