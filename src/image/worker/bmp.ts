// BMP -> RGBA. Source: Microsoft, "Bitmap Structures" and "Bitmap Compression".

import { type BmpHeader, bmpCompression, readBmpHeader } from '../shared/files/bmp.js';
import { PictureError } from '../shared/picture-error.js';
import type { Samples } from './wrap.js';

/** @throws PictureError for one that is cut off */
export function decodeBmp(bytes: Buffer): Samples {
  const header = readBmpHeader(bytes)!;
  const { width, height, bits } = header;
  const isPacked = header.compression === bmpCompression.rle4 || header.compression === bmpCompression.rle8;
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  const file = isPacked
    ? { rows: unpack(bytes, header), start: 0, rowBytes: width, bits: 8 }
    : { rows: bytes, start: header.pixelStart, rowBytes, bits };
  const needed = file.start + file.rowBytes * (height - 1) + Math.ceil((width * file.bits) / 8);
  if (file.rows.length < needed) {
    throw new PictureError('undecodable_picture', 'The picture is damaged or cut off: its rows are not all there.');
  }
  const alpha = !isPacked && bits >= 16 && hasAlpha(bytes, header, rowBytes);
  const channels = alpha ? 4 : 3;
  const data = new Uint8Array(width * height * channels);
  const colour = bits <= 8 ? paletteReader(bytes, header, file.bits) : maskReader(header);
  for (let y = 0; y < height; y++) {
    const row = file.start + (header.topDown ? y : height - 1 - y) * file.rowBytes;
    for (let x = 0; x < width; x++) colour(file.rows, row, x, data, (y * width + x) * channels, channels);
  }
  return { data, width, height, colours: 3, alpha };
}

type Reader = (rows: Uint8Array, row: number, x: number, out: Uint8Array, at: number, channels: number) => void;

/** An index beyond the palette is black. @param bits per pixel of the rows, which unpacked ones have 8 of */
function paletteReader(bytes: Buffer, { palette: { start, entries, entryBytes } }: BmpHeader, bits: number): Reader {
  const perByte = 8 / bits;
  return (rows, row, x, out, at) => {
    const shift = 8 - bits * ((x % perByte) + 1);
    const index = (rows[row + Math.floor(x / perByte)]! >> shift) & (2 ** bits - 1);
    if (index >= entries) return;
    const entry = start + index * entryBytes;
    for (let c = 0; c < 3; c++) out[at + c] = bytes[entry + 2 - c] ?? 0;
  };
}

const ownMasks: Readonly<Record<number, readonly number[]>> = {
  16: [0x7c00, 0x03e0, 0x001f, 0],
  24: [0xff0000, 0x00ff00, 0x0000ff, 0],
  32: [0xff0000, 0x00ff00, 0x0000ff, 0],
};

function maskReader({ bits, masks }: BmpHeader): Reader {
  const fields = (masks.length > 0 ? masks : ownMasks[bits]!).map(fieldOf);
  const bytesPerPixel = bits / 8;
  return (rows, row, x, out, at, channels) => {
    const start = row + x * bytesPerPixel;
    let value = 0;
    for (let i = bytesPerPixel - 1; i >= 0; i--) value = value * 256 + rows[start + i]!;
    for (let c = 0; c < channels; c++) {
      const { mask, shift, max } = fields[c]!;
      out[at + c] = max === 0 ? 0 : Math.round((((value & mask) >>> shift) * 255) / max);
    }
  };
}

function fieldOf(mask: number): { mask: number; shift: number; max: number } {
  if (mask === 0) return { mask, shift: 0, max: 0 };
  const shift = 31 - Math.clz32(mask & -mask);
  return { mask, shift, max: mask >>> shift };
}

/** Many writers leave the channel at nothing everywhere; then the picture is meant to be seen. */
function hasAlpha(bytes: Buffer, { masks, bits, width, height, pixelStart }: BmpHeader, rowBytes: number): boolean {
  const mask = masks[3] ?? 0;
  if (mask === 0) return false;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = pixelStart + y * rowBytes + (x * bits) / 8;
      if (((bits === 16 ? bytes.readUInt16LE(at) : bytes.readUInt32LE(at)) & mask) !== 0) return true;
    }
  }
  return false;
}

/** Run lengths -> an index per byte, in the file's order of rows. What is skipped is index 0. */
function unpack(bytes: Buffer, { width, height, compression, pixelStart }: BmpHeader): Uint8Array {
  const half = compression === bmpCompression.rle4;
  const rows = new Uint8Array(width * height);
  let [x, y, at] = [0, 0, pixelStart];
  const put = (index: number) => {
    if (x < width && y < height) rows[y * width + x] = index;
    x++;
  };
  while (y < height) {
    if (at + 2 > bytes.length) {
      throw new PictureError('undecodable_picture', 'The picture is damaged or cut off: its runs end too early.');
    }
    const [count, value] = [bytes[at]!, bytes[at + 1]!];
    at += 2;
    if (count > 0) {
      for (let i = 0; i < count; i++) put(half ? (i % 2 === 0 ? value >> 4 : value & 15) : value);
    } else if (value === 0) [x, y] = [0, y + 1];
    else if (value === 1) break;
    else if (value === 2) [x, y, at] = [x + (bytes[at] ?? 0), y + (bytes[at + 1] ?? 0), at + 2];
    else {
      for (let i = 0; i < value; i++) {
        const byte = bytes[at + (half ? i >> 1 : i)] ?? 0;
        put(half ? (i % 2 === 0 ? byte >> 4 : byte & 15) : byte);
      }
      const used = half ? Math.ceil(value / 2) : value;
      at += used + (used % 2);
    }
  }
  return rows;
}
