// GIF: blocks up to the end of the first picture. Source: GIF89a specification, 1990.

import { damaged } from '../picture-error.js';
import { Kept, type PictureFile } from './file.js';

const extension = 0x21;
const graphicControl = 0xf9;
const picture = 0x2c;
const trailer = 0x3b;

export function readGif(bytes: Buffer): PictureFile | undefined {
  if (!/^GIF8[79]a$/.test(bytes.toString('latin1', 0, 6))) return undefined;
  if (bytes.length < 14) throw damaged('a GIF without a size');
  const width = bytes.readUInt16LE(6);
  const height = bytes.readUInt16LE(8);
  if (width === 0 || height === 0) throw damaged('a GIF without a size');
  const first = 13 + tableBytes(bytes[10]!);
  const { control, start, end, more } = firstPicture(bytes, first);
  return {
    format: 'gif',
    width,
    height,
    orientation: 1,
    animated: more,
    held: width * height * 6, // libnsgif's picture and libvips' copy
    essentials: () => {
      const kept = new Kept(bytes);
      kept.keep(0, first);
      if (control) kept.keep(...control);
      kept.keep(start, end);
      if (end < bytes.length) kept.add(Buffer.of(trailer));
      return kept.join();
    },
  };
}

const tableBytes = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);

/** The last graphic control before it says what is transparent in it. */
function firstPicture(bytes: Buffer, first: number) {
  let control: [number, number] | undefined;
  let found: { start: number; end: number } | undefined;
  for (let at = first; at < bytes.length; ) {
    const start = at;
    if (bytes[at] === extension) {
      at = afterBlocks(bytes, at + 2);
      if (bytes[start + 1] === graphicControl && !found) control = [start, at];
    } else if (bytes[at] === picture) {
      if (found) return { control, ...found, more: true };
      at = afterBlocks(bytes, at + 11 + tableBytes(bytes[at + 9] ?? 0));
      found = { start, end: at };
    } else break;
  }
  const rest = { start: Math.min(first, bytes.length), end: bytes.length };
  return { control: found && control, ...(found ?? rest), more: false };
}

/** Blocks of up to 255 bytes, each with its length before it, and an empty one at the end. */
function afterBlocks(bytes: Buffer, start: number): number {
  let at = start;
  while (at < bytes.length && bytes[at] !== 0) at += 1 + bytes[at]!;
  return Math.min(at + 1, bytes.length);
}
