// Files of pictures made by hand: what no encoder writes, in all formats.

import { crc32, deflateSync } from 'node:zlib';

export function pngChunk(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const chunk = Buffer.alloc(8 + body.length);
  chunk.writeUInt32BE(data.length, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), 4 + body.length);
  return chunk;
}

/** Puts chunks after IHDR. */
export function withPngChunks(png: Buffer, ...chunks: Buffer[]): Buffer {
  return Buffer.concat([png.subarray(0, 33), ...chunks, png.subarray(33)]);
}

export interface PngSettings {
  readonly width: number;
  readonly height: number;
  readonly bits?: number;
  /** 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha */
  readonly type?: number;
  readonly interlaced?: boolean;
  /** Rows with their filter bytes, as they are compressed. */
  readonly rows?: Buffer;
}

export function png({ width, height, bits = 8, type = 2, interlaced = false, rows }: PngSettings): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([bits, type, 0, 0, interlaced ? 1 : 0], 8);
  const samples = [1, 0, 3, 1, 2, 0, 4][type]!;
  const data = rows ?? Buffer.alloc(height * (1 + Math.ceil((width * samples * bits) / 8)));
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(data)),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

export function jpegSegment(marker: number, data: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(data.length + 2, 2);
  return Buffer.concat([head, data]);
}

/** Puts segments after SOI. */
export function withJpegSegments(jpeg: Buffer, ...segments: Buffer[]): Buffer {
  return Buffer.concat([jpeg.subarray(0, 2), ...segments, jpeg.subarray(2)]);
}

/** Ends in a length of its own, as RIFF wants. */
export function withWebpChunks(webp: Buffer, chunks: readonly (readonly [name: string, data: Buffer])[]): Buffer {
  const parts = chunks.map(([name, data]) => {
    const head = Buffer.alloc(8);
    head.write(name, 'latin1');
    head.writeUInt32LE(data.length, 4);
    return Buffer.concat([head, data, Buffer.alloc(data.length % 2)]);
  });
  const file = Buffer.concat([webp, ...parts]);
  file.writeUInt32LE(file.length - 8, 4);
  return file;
}

/** A still WebP as the extended format, with its flags. */
export function extendedWebp(
  webp: Buffer,
  { width, height }: { width: number; height: number },
  flags: number,
): Buffer {
  const canvas = Buffer.alloc(18);
  canvas.write('VP8X', 'latin1');
  canvas.writeUInt32LE(10, 4);
  canvas[8] = flags;
  canvas.writeUIntLE(width - 1, 12, 3);
  canvas.writeUIntLE(height - 1, 15, 3);
  const file = Buffer.concat([webp.subarray(0, 12), canvas, webp.subarray(12)]);
  file.writeUInt32LE(file.length - 8, 4);
  return file;
}

export interface TiffSettings {
  readonly width: number;
  readonly height: number;
  readonly samples: number;
  /** 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK */
  readonly photometric: number;
  readonly bits?: number;
  /** 1 whole, 2 signed, 3 float */
  readonly sampleFormat?: number;
  readonly extraSamples?: readonly number[];
  readonly pixels: Buffer;
  readonly bigEndian?: boolean;
  /** More entries: tag, type, values of that type's bytes. */
  readonly entries?: readonly (readonly [tag: number, type: number, count: number, data: Buffer])[];
}

/** Uncompressed, in one strip. @returns the file, and where the offset of its next directory stands */
export function tiff(settings: TiffSettings): { file: Buffer; nextAt: number } {
  const { width, height, samples, photometric, bits = 8, sampleFormat = 1, pixels, bigEndian = false } = settings;
  const u16 = (...values: number[]) => {
    const data = Buffer.alloc(2 * values.length);
    for (const [i, v] of values.entries()) bigEndian ? data.writeUInt16BE(v, 2 * i) : data.writeUInt16LE(v, 2 * i);
    return data;
  };
  const u32 = (value: number) => {
    const data = Buffer.alloc(4);
    bigEndian ? data.writeUInt32BE(value) : data.writeUInt32LE(value);
    return data;
  };
  const short = (tag: number, ...values: number[]) => [tag, 3, values.length, u16(...values)] as const;
  const long = (tag: number, value: number) => [tag, 4, 1, u32(value)] as const;
  const entries = [
    long(256, width),
    long(257, height),
    short(258, ...Array.from({ length: samples }, () => bits)),
    short(259, 1),
    short(262, photometric),
    long(273, 8),
    short(277, samples),
    long(278, height),
    long(279, pixels.length),
    ...(settings.extraSamples ? [short(338, ...settings.extraSamples)] : []),
    short(339, ...Array.from({ length: samples }, () => sampleFormat)),
    ...(settings.entries ?? []),
  ].sort((a, b) => a[0] - b[0]);
  const start = 8 + pixels.length + (pixels.length % 2);
  const directory = Buffer.alloc(2 + 12 * entries.length + 4);
  u16(entries.length).copy(directory);
  const outside: Buffer[] = [];
  let end = start + directory.length;
  for (const [i, [tag, type, count, data]] of entries.entries()) {
    const at = 2 + 12 * i;
    u16(tag, type).copy(directory, at);
    u32(count).copy(directory, at + 4);
    if (data.length <= 4) data.copy(directory, at + 8);
    else {
      u32(end).copy(directory, at + 8);
      outside.push(data);
      end += data.length;
    }
  }
  const head = Buffer.concat([Buffer.from(bigEndian ? 'MM' : 'II'), u16(42), u32(start)]);
  const file = Buffer.concat([head, pixels, Buffer.alloc(pixels.length % 2), directory, ...outside]);
  return { file, nextAt: start + directory.length - 4 };
}

export interface BmpSettings {
  readonly width: number;
  /** Negative for rows from the top. */
  readonly height: number;
  readonly bits: number;
  readonly compression?: number;
  readonly palette?: readonly number[];
  readonly masks?: readonly number[];
  /** Rows as they stand in the file. */
  readonly data: Buffer;
  /** Of its header: 12, 40, 108 or 124. */
  readonly headerBytes?: number;
}

export function bmp({ width, height, bits, compression = 0, palette = [], masks = [], data, ...more }: BmpSettings) {
  const { headerBytes = 40 } = more;
  const header = Buffer.alloc(14 + headerBytes);
  header.write('BM', 'latin1');
  header.writeUInt32LE(headerBytes, 14);
  if (headerBytes === 12) {
    header.writeUInt16LE(width, 18);
    header.writeUInt16LE(height, 20);
    header.writeUInt16LE(1, 22);
    header.writeUInt16LE(bits, 24);
  } else {
    header.writeInt32LE(width, 18);
    header.writeInt32LE(height, 22);
    header.writeUInt16LE(1, 26);
    header.writeUInt16LE(bits, 28);
    header.writeUInt32LE(compression, 30);
    header.writeUInt32LE(palette.length, 46);
  }
  const maskBytes = Buffer.alloc(4 * masks.length);
  for (const [i, mask] of masks.entries()) maskBytes.writeUInt32LE(mask, 4 * i);
  if (headerBytes > 40) maskBytes.copy(header, 54);
  const colours = Buffer.concat(
    palette.map((rgb) => Buffer.from([rgb & 255, (rgb >> 8) & 255, rgb >> 16, 0].slice(0, headerBytes === 12 ? 3 : 4))),
  );
  const parts = [header, headerBytes === 40 ? maskBytes : Buffer.alloc(0), colours];
  header.writeUInt32LE(
    parts.reduce((sum, part) => sum + part.length, 0),
    10,
  );
  return Buffer.concat([...parts, data]);
}

export function box(type: string, ...parts: readonly (Buffer | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)));
  const head = Buffer.alloc(8);
  head.writeUInt32BE(body.length + 8);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, body]);
}

const be16 = (value: number) => [value >> 8, value & 255];
const be32 = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

export interface HeifItem {
  readonly type: string;
  readonly data: Buffer;
  /** Indices into the properties, from 1 on. */
  readonly properties: readonly number[];
  /** Its data once more, and again: a file's bytes may be pointed at many times. */
  readonly extents?: number;
  /** What an `infe` of a type `mime` says after its name. */
  readonly tail?: string;
}

export interface HeifSettings {
  readonly brand?: string;
  /** The first is the primary one; ids count from 1. */
  readonly items: readonly HeifItem[];
  readonly properties: readonly Buffer[];
  readonly references?: readonly (readonly [type: string, from: number, to: readonly number[]])[];
}

export function heif({ brand = 'avif', items, properties, references = [] }: HeifSettings): Buffer {
  const ftyp = box('ftyp', Buffer.from(`${brand}\0\0\0\0${brand}mif1miaf`, 'latin1'));
  const meta = (dataStart: number) => {
    let at = dataStart;
    const locations = items.map(({ data, extents = 1 }, i) => {
      const one = [...be32(at), ...be32(data.length)];
      at += data.length;
      return Buffer.from([
        ...be16(i + 1),
        ...be16(0),
        ...be16(extents),
        ...Array.from({ length: extents }, () => one).flat(),
      ]);
    });
    return box(
      'meta',
      be32(0),
      box('hdlr', be32(0), be32(0), Buffer.from('pict'), Buffer.alloc(13)),
      box('pitm', be32(0), be16(1)),
      box('iloc', be32(0), [0x44, 0], be16(items.length), ...locations),
      box(
        'iinf',
        be32(0),
        be16(items.length),
        ...items.map(({ type, tail = '' }, i) =>
          box('infe', be32(0x02000000), be16(i + 1), be16(0), Buffer.from(`${type}\0${tail}`, 'latin1')),
        ),
      ),
      box(
        'iprp',
        box('ipco', ...properties),
        box(
          'ipma',
          be32(0),
          be32(items.length),
          ...items.map(({ properties: own }, i) => [...be16(i + 1), own.length, ...own]),
        ),
      ),
      ...(references.length > 0
        ? [
            box(
              'iref',
              be32(0),
              ...references.map(([type, from, to]) => box(type, be16(from), be16(to.length), to.flatMap(be16))),
            ),
          ]
        : []),
    );
  };
  const dataStart = ftyp.length + meta(0).length + 8;
  return Buffer.concat([ftyp, meta(dataStart), box('mdat', ...items.map(({ data }) => data))]);
}

export const ispe = (width: number, height: number) => box('ispe', be32(0), be32(width), be32(height));

/** The coded picture of an AVIF as sharp writes it, to be put into another file. */
export function codedAv1(avif: Buffer): { data: Buffer; configuration: Buffer } {
  const mdat = avif.indexOf('mdat', 0, 'latin1');
  const configuration = avif.indexOf('av1C', 0, 'latin1') - 4;
  return {
    data: avif.subarray(mdat + 4, mdat - 4 + avif.readUInt32BE(mdat - 4)),
    configuration: avif.subarray(configuration, configuration + avif.readUInt32BE(configuration)),
  };
}
