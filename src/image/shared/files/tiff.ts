// TIFF: the first directory. Sources: TIFF 6.0; its Supplement 2; libtiff's BigTIFF design.

import { damaged } from '../picture-error.js';
import type { Header, PictureFile, Samples } from './file.js';
import { maxProfileBytes, profileTooLarge } from './profile.js';

const tag = {
  width: 256,
  height: 257,
  bits: 258,
  photometric: 262,
  orientation: 274,
  samples: 277,
  rowsPerStrip: 278,
  tileWidth: 322,
  tileHeight: 323,
  extraSamples: 338,
  profile: 34675,
} as const;
/** What decides pixels: layout, compression, colours, samples. All other entries are left out. */
const pixelTags = new Set([
  256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 280, 281, 284, 290, 291, 292, 293, 301, 317, 318, 319, 320, 322,
  323, 324, 325, 332, 333, 334, 336, 338, 339, 340, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530,
  531, 532,
]);
const typeBytes: Readonly<Record<number, number>> = {
  1: 1,
  2: 1,
  3: 2,
  4: 4,
  5: 8,
  6: 1,
  7: 1,
  8: 2,
  9: 4,
  10: 8,
  11: 4,
  12: 8,
  13: 4,
  16: 8,
  17: 8,
  18: 8,
};
/** Samples of a pixel's colours by photometric interpretation; of others nothing is known. */
const coloursOf: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3 };
const maxSamples = 64;

interface Entry {
  readonly at: number;
  readonly tag: number;
  readonly type: number;
  readonly count: number;
  /** Where its values are: in the entry itself, or elsewhere. */
  readonly valueAt: number;
}

export function readTiff(bytes: Buffer): PictureFile | undefined {
  const file = openTiff(bytes);
  if (!file) return undefined;
  if (file === 'damaged') throw damaged('a TIFF whose first directory is not all there');
  const { entries, layout, next } = file;
  const number = (name: number, otherwise: number) => layout.number(entries.get(name)) ?? otherwise;
  const width = number(tag.width, 0);
  const height = number(tag.height, 0);
  const count = number(tag.samples, 1);
  if (!(width > 0 && height > 0 && count > 0 && count <= maxSamples))
    throw damaged('a TIFF without a size, or with too many samples');
  const samples = samplesOf(count, number(tag.photometric, 1), layout.numbers(entries.get(tag.extraSamples)));
  const pixelBytes = (Math.max(1, count, 3) * Math.max(number(tag.bits, 1), 8)) / 8;
  const tileWidth = number(tag.tileWidth, 0);
  const tileHeight = number(tag.tileHeight, 0);
  const strip = Math.min(number(tag.rowsPerStrip, height), height) * width;
  const tiles = Math.max(tileWidth, width) * tileHeight * 2;
  const profile = entries.get(tag.profile);
  const orientation = number(tag.orientation, 1);
  const header: Header = {
    format: 'tiff',
    width,
    height,
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    animated: next !== 0,
    held: (tileWidth > 0 ? tiles : 2 * strip) * pixelBytes + (isPlain(samples) ? 0 : 2 * width * height * pixelBytes),
  };
  return {
    ...header,
    samples,
    deep: number(tag.bits, 1) > 8,
    essentials: () => {
      const kept = [...entries.values()].filter((entry) => pixelTags.has(entry.tag));
      // libvips divides by the last sample where one is associated, whichever it is.
      return layout.withDirectory(isPlain(samples) ? kept : kept.filter((entry) => entry.tag !== tag.extraSamples));
    },
    ...(profile && { profile: () => profileOf(bytes, profile) }),
  };
}

/** Whether a decoder that takes a last sample beyond the colours for plain transparency is right. */
export function isPlain({ count, colours, alpha }: Samples): boolean {
  if (count === colours) return true;
  return count === colours + 1 && alpha?.index === colours;
}

/** Of extra samples only those of kind 1 (associated) and 2 are transparency; the first of them counts. */
function samplesOf(count: number, photometric: number, kinds: readonly number[]): Samples {
  const colours = Math.min(coloursOf[photometric] ?? count, count);
  const found = kinds.findIndex((kind) => kind === 1 || kind === 2);
  const index = colours + found;
  const alpha = found >= 0 && index < count ? { index, associated: kinds[found] === 1 } : undefined;
  return { count, colours, alpha };
}

function profileOf(bytes: Buffer, { valueAt, count }: Entry): Buffer | undefined {
  if (count > maxProfileBytes) throw profileTooLarge();
  return valueAt + count <= bytes.length ? bytes.subarray(valueAt, valueAt + count) : undefined;
}

function openTiff(bytes: Buffer) {
  if (bytes.length < 16) return undefined;
  const order = bytes.toString('latin1', 0, 2);
  if (order !== 'II' && order !== 'MM') return undefined;
  const layout = new Layout(bytes, order === 'II', bytes[order === 'II' ? 2 : 3] === 43);
  if (layout.u16(2) !== (layout.big ? 43 : 42)) return undefined;
  const start = layout.offset(layout.big ? 8 : 4);
  if (start + layout.countBytes > bytes.length) return 'damaged';
  const count = layout.big ? layout.offset(start) : layout.u16(start);
  const end = start + layout.countBytes + count * layout.entryBytes;
  if (count === 0 || count > 4096 || end > bytes.length) return 'damaged';
  const entries = new Map<number, Entry>();
  for (let at = start + layout.countBytes; at < end; at += layout.entryBytes) {
    const entry = layout.entry(at);
    if (!entries.has(entry.tag)) entries.set(entry.tag, entry);
  }
  const next = end + layout.offsetBytes <= bytes.length ? layout.offset(end) : 0;
  return { layout, entries, next };
}

/** Byte order, and the widths that classic and Big TIFF differ in. */
class Layout {
  readonly offsetBytes: 4 | 8;
  readonly countBytes: 2 | 8;
  readonly entryBytes: 12 | 20;

  constructor(
    private readonly bytes: Buffer,
    private readonly little: boolean,
    readonly big: boolean,
  ) {
    this.offsetBytes = big ? 8 : 4;
    this.countBytes = big ? 8 : 2;
    this.entryBytes = big ? 20 : 12;
  }

  u16(at: number): number {
    return this.little ? this.bytes.readUInt16LE(at) : this.bytes.readUInt16BE(at);
  }

  u32(at: number): number {
    return this.little ? this.bytes.readUInt32LE(at) : this.bytes.readUInt32BE(at);
  }

  offset(at: number): number {
    if (!this.big) return this.u32(at);
    return Number(this.little ? this.bytes.readBigUInt64LE(at) : this.bytes.readBigUInt64BE(at));
  }

  entry(at: number): Entry {
    const type = this.u16(at + 2);
    const count = this.offset(at + 4);
    const inline = at + 4 + this.offsetBytes;
    const isInline = count * (typeBytes[type] ?? 0) <= this.offsetBytes;
    return { at, tag: this.u16(at), type, count, valueAt: isInline ? inline : this.offset(inline) };
  }

  number(entry: Entry | undefined): number | undefined {
    return this.numbers(entry, 1)[0];
  }

  /** Of whole numbers the first few; of all other types none. */
  numbers(entry: Entry | undefined, most = maxSamples): number[] {
    const size = typeBytes[entry?.type ?? 0] ?? 0;
    const read = { 1: this.bytes.readUInt8, 3: this.u16, 4: this.u32, 16: this.offset }[entry?.type ?? 0];
    if (!entry || !read || entry.count < 1) return [];
    const count = Math.min(entry.count, most);
    if (entry.valueAt + count * size > this.bytes.length) return [];
    const self = entry.type === 1 ? this.bytes : this;
    return Array.from({ length: count }, (_, i) => read.call(self as never, entry.valueAt + i * size));
  }

  /** The file with a directory of only these entries, and no other one. */
  withDirectory(entries: readonly Entry[]): Buffer {
    const { bytes, little, big, countBytes, entryBytes, offsetBytes } = this;
    const start = bytes.length + (bytes.length % 2);
    const file = Buffer.alloc(start + countBytes + entries.length * entryBytes + offsetBytes);
    bytes.copy(file);
    const write = (value: number, at: number) => {
      if (big) little ? file.writeBigUInt64LE(BigInt(value), at) : file.writeBigUInt64BE(BigInt(value), at);
      else little ? file.writeUInt32LE(value, at) : file.writeUInt32BE(value, at);
    };
    if (big) write(entries.length, start);
    else little ? file.writeUInt16LE(entries.length, start) : file.writeUInt16BE(entries.length, start);
    for (const [i, { at }] of entries.entries())
      bytes.copy(file, start + countBytes + i * entryBytes, at, at + entryBytes);
    write(start, big ? 8 : 4);
    return file;
  }
}
