// BMP's header. Source: Microsoft, "Bitmap Structures" (BITMAPCOREHEADER to BITMAPV5HEADER).

import type { PictureFile } from './file.js';

export interface BmpHeader {
  readonly width: number;
  readonly height: number;
  readonly topDown: boolean;
  readonly bits: number;
  readonly compression: number;
  /** Of red, green, blue and alpha; 0 for what is not there. Empty where the format has its own. */
  readonly masks: readonly number[];
  /** Where the palette begins, how many entries it has, and of how many bytes. */
  readonly palette: { readonly start: number; readonly entries: number; readonly entryBytes: 3 | 4 };
  readonly pixelStart: number;
}

export const bmpCompression = { none: 0, rle8: 1, rle4: 2, bitfields: 3, alphaBitfields: 6 } as const;
const readableBits: Readonly<Record<number, readonly number[]>> = {
  [bmpCompression.none]: [1, 4, 8, 16, 24, 32],
  [bmpCompression.rle8]: [8],
  [bmpCompression.rle4]: [4],
  [bmpCompression.bitfields]: [16, 32],
  [bmpCompression.alphaBitfields]: [16, 32],
};

/** @returns undefined for what is no BMP, or one of a kind that cannot be read (JPEG or PNG in a BMP, OS/2's own) */
export function readBmpHeader(bytes: Buffer): BmpHeader | undefined {
  if (bytes.length < 26 || bytes.toString('latin1', 0, 2) !== 'BM') return undefined;
  const size = bytes.readUInt32LE(14);
  const core = size === 12;
  if ((!core && size < 40) || bytes.length < 14 + size) return undefined;
  const width = core ? bytes.readUInt16LE(18) : bytes.readInt32LE(18);
  const rows = core ? bytes.readUInt16LE(20) : bytes.readInt32LE(22);
  const bits = bytes.readUInt16LE(core ? 24 : 28);
  const compression = core ? 0 : bytes.readUInt32LE(30);
  if (width <= 0 || rows === 0 || !readableBits[compression]?.includes(bits)) return undefined;
  const hasMasks = compression === bmpCompression.bitfields || compression === bmpCompression.alphaBitfields;
  const maskCount = compression === bmpCompression.alphaBitfields || size >= 56 ? 4 : 3;
  if (hasMasks && bytes.length < 54 + 4 * maskCount) return undefined;
  const afterHeader = 14 + size + (hasMasks && size === 40 ? 4 * maskCount : 0);
  const asked = core ? 0 : bytes.readUInt32LE(46);
  const entries = bits > 8 ? 0 : Math.min(asked || 2 ** bits, 2 ** bits);
  return {
    width,
    height: Math.abs(rows),
    topDown: rows < 0,
    bits,
    compression,
    masks: hasMasks ? Array.from({ length: maskCount }, (_, i) => bytes.readUInt32LE(54 + 4 * i)) : [],
    palette: { start: afterHeader, entries, entryBytes: core ? 3 : 4 },
    pixelStart: bytes.readUInt32LE(10),
  };
}

export function readBmp(bytes: Buffer): PictureFile | undefined {
  const header = readBmpHeader(bytes);
  if (!header) return undefined;
  const { width, height } = header;
  const held = width * height * 7; // indices, samples, and the file that libvips reads
  return { format: 'bmp', width, height, orientation: 1, animated: false, held, essentials: () => bytes };
}
