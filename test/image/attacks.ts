// Small uploads that take far more than their pixels in a decoder that trusts them: one of each kind that a format allows.

import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import {
  bmp,
  box,
  codedAv1,
  extendedWebp,
  heif,
  ispe,
  jpegSegment,
  png,
  pngChunk,
  tiff,
  withJpegSegments,
  withPngChunks,
  withWebpChunks,
} from './files.js';

const small = { width: 16, height: 16 };
const picture = (size = small) =>
  sharp({ create: { ...size, channels: 3, background: '#c82828' }, limitInputPixels: false });
const megabytes = (count: number) => Buffer.alloc(count * 1024 * 1024);
const repeated = (count: number, part: Buffer) => Buffer.concat(Array.from({ length: count }, () => part));
const u32 = (value: number) => {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(value);
  return data;
};

/** Their pixels are few, or cost what pixels cost; a name says what else they would take. */
export async function attacks(): Promise<Record<string, () => Buffer | Promise<Buffer>>> {
  const plainPng = png(small);
  const packed = deflateSync(megabytes(8));
  const plainJpeg = await picture().jpeg().toBuffer();
  const plainWebp = await picture().webp().toBuffer();
  const webp = extendedWebp(plainWebp, small, 0b0010_1100);
  const gif = await picture().gif().toBuffer();
  const { data: av1, configuration } = codedAv1(await picture({ width: 64, height: 64 }).avif().toBuffer());
  const large = codedAv1(await picture({ width: 8000, height: 6000 }).avif({ effort: 0 }).toBuffer());
  const pixels = Buffer.alloc(16 * 16 * 3, 100);
  const rgb = { ...small, samples: 3, photometric: 2, pixels };
  const grid = (rows: number, columns: number, width: number, height: number) =>
    Buffer.from([0, 0, rows - 1, columns - 1, width >> 8, width & 255, height >> 8, height & 255]);
  return {
    'PNG: 100 zTXt of 8 MB': () =>
      withPngChunks(plainPng, repeated(100, pngChunk('zTXt', Buffer.concat([Buffer.from('Comment\0\0'), packed])))),
    'PNG: 100 iTXt of 8 MB': () =>
      withPngChunks(
        plainPng,
        repeated(100, pngChunk('iTXt', Buffer.concat([Buffer.from('Comment\0\x01\0\0\0'), packed]))),
      ),
    'PNG: iCCP of 512 MB': () =>
      withPngChunks(plainPng, pngChunk('iCCP', Buffer.concat([Buffer.from('icc\0\0'), deflateSync(megabytes(512))]))),
    'PNG: eXIf of 20 MB': () => withPngChunks(plainPng, pngChunk('eXIf', megabytes(20))),
    'PNG: a million empty IDAT': () => withPngChunks(plainPng, repeated(1_000_000, pngChunk('IDAT', Buffer.alloc(0)))),
    'PNG: a million unknown chunks': () =>
      withPngChunks(plainPng, repeated(1_000_000, pngChunk('prVt', Buffer.alloc(1)))),
    'PNG: 100,000 frames': () =>
      Buffer.concat([
        withPngChunks(plainPng, pngChunk('acTL', Buffer.concat([u32(100_000), u32(0)]))).subarray(0, -12),
        repeated(100_000, Buffer.concat([pngChunk('fcTL', Buffer.alloc(26)), pngChunk('fdAT', Buffer.alloc(30))])),
        pngChunk('IEND', Buffer.alloc(0)),
      ]),
    'JPEG: 300 APP1 of 64 KB': () =>
      withJpegSegments(
        plainJpeg,
        repeated(
          300,
          jpegSegment(0xe1, Buffer.concat([Buffer.from('http://ns.adobe.com/xmp/extension/\0'), Buffer.alloc(65_000)])),
        ),
      ),
    'JPEG: a profile of 16 MB': () =>
      withJpegSegments(
        plainJpeg,
        ...Array.from({ length: 250 }, (_, i) =>
          jpegSegment(
            0xe2,
            Buffer.concat([Buffer.from('ICC_PROFILE\0'), Buffer.from([i + 1, 250]), Buffer.alloc(65_000)]),
          ),
        ),
      ),
    'JPEG: a million comments': () =>
      withJpegSegments(plainJpeg, repeated(1_000_000, jpegSegment(0xfe, Buffer.alloc(1)))),
    'JPEG: 20 MB of stray bytes': () => withJpegSegments(plainJpeg, Buffer.alloc(20_000_000, 0xff)),
    'JPEG: 3000 scans of 36 megapixels': () => manyScans(),
    'WebP: profile, EXIF and XMP of 8 MB each': () =>
      withWebpChunks(webp, [
        ['ICCP', megabytes(8)],
        ['EXIF', megabytes(8)],
        ['XMP ', megabytes(8)],
      ]),
    'WebP: a million unknown chunks': () =>
      withWebpChunks(
        webp,
        Array.from({ length: 1_000_000 }, () => ['junk', Buffer.alloc(2)] as const),
      ),
    'WebP: 100,000 frames': () => manyWebpFrames(plainWebp),
    'GIF: 100,000 frames': () => Buffer.concat([gif.subarray(0, -1), repeated(100_000, gifFrame()), Buffer.from(';')]),
    'GIF: 20 MB of comments': () =>
      Buffer.concat([
        gif.subarray(0, 13 + tableBytes(gif)),
        repeated(75_000, Buffer.concat([Buffer.from([0x21, 0xfe, 255]), Buffer.alloc(255), Buffer.from([0])])),
        gif.subarray(13 + tableBytes(gif)),
      ]),
    'TIFF: 100,000 directories': () => manyDirectories(100_000),
    'TIFF: a directory that is its own next': () => ownNext(),
    'TIFF: profile and XMP of 10 MB each': () =>
      tiff({
        ...rgb,
        entries: [
          [700, 1, 10_000_000, Buffer.alloc(10_000_000)],
          [34675, 7, 10_000_000, Buffer.alloc(10_000_000)],
        ],
      }).file,
    'TIFF: tiles of 60,000 x 60,000': () =>
      tiff({
        ...rgb,
        entries: [
          [322, 4, 1, Buffer.from(u32(60_000)).reverse()],
          [323, 4, 1, Buffer.from(u32(60_000)).reverse()],
          [324, 4, 1, Buffer.from(u32(8)).reverse()],
          [325, 4, 1, Buffer.from(u32(pixels.length)).reverse()],
        ],
      }).file,
    'AVIF: 250 metadata items of 32 x 10 MB': () =>
      heif({
        items: [
          { type: 'av01', data: av1, properties: [1, 2] },
          { type: 'Exif', data: megabytes(10), properties: [], extents: 32 },
          ...Array.from({ length: 249 }, () => ({ type: 'Exif', data: Buffer.alloc(16), properties: [], extents: 32 })),
        ],
        properties: [configuration, ispe(64, 64)],
        references: Array.from({ length: 250 }, (_, i) => ['cdsc', i + 2, [1]] as const),
      }),
    'AVIF: XMP that unpacks to 512 MB': () =>
      heif({
        items: [
          { type: 'av01', data: av1, properties: [1, 2] },
          { type: 'mime', data: deflateSync(megabytes(512)), properties: [], tail: 'application/rdf+xml\0deflate\0' },
        ],
        properties: [configuration, ispe(64, 64)],
        references: [['cdsc', 2, [1]]],
      }),
    'AVIF: a small grid of 256 tiles of 48 megapixels': () =>
      heif({
        items: [
          { type: 'grid', data: grid(16, 16, 1024, 1024), properties: [2] },
          { type: 'av01', data: large.data, properties: [1, 3] },
        ],
        properties: [large.configuration, ispe(1024, 1024), ispe(8000, 6000)],
        references: [['dimg', 1, Array.from({ length: 256 }, () => 2)]],
      }),
    'AVIF: 48 megapixels that say they are 64 x 64': () =>
      heif({
        items: [{ type: 'av01', data: large.data, properties: [1, 2] }],
        properties: [large.configuration, ispe(64, 64)],
      }),
    'AVIF: a million boxes': async () =>
      Buffer.concat([await picture().avif().toBuffer(), repeated(1_000_000, box('free'))]),
    'AVIF: 100,000 properties': () =>
      heif({
        items: [{ type: 'av01', data: av1, properties: [1, 2] }],
        properties: [configuration, ispe(64, 64), ...Array.from({ length: 100_000 }, () => box('free'))],
      }),
    'BMP: run lengths that never end a row': () =>
      bmp({
        ...small,
        bits: 8,
        compression: 1,
        palette: [0],
        data: repeated(5_000_000, Buffer.from([0, 2, 0, 0])),
      }),
  };
}

/** Their pixels are many: each is admitted, and its cost is what the header says. */
export async function largePictures(): Promise<Record<string, () => Buffer | Promise<Buffer>>> {
  const size = { width: 8000, height: 6000 };
  const noise = sharp({
    create: { ...size, channels: 3, background: '#c82828', noise: { type: 'gaussian', mean: 128, sigma: 20 } },
  });
  const flat = picture(size);
  const jpeg = await noise.clone().jpeg({ quality: 60 }).toBuffer();
  return {
    'PNG, 8 bits': () => flat.clone().png().toBuffer(),
    'PNG, 16 bits, interlaced': () => png({ ...size, bits: 16, type: 6, interlaced: true, rows: adam7Rows(size, 8) }),
    JPEG: () => jpeg,
    'JPEG, progressive': () => sharp(jpeg).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer(),
    WebP: () => flat.clone().webp({ effort: 0 }).toBuffer(),
    'WebP, lossless': () => flat.clone().webp({ lossless: true, effort: 0 }).toBuffer(),
    AVIF: () => flat.clone().avif({ effort: 0 }).toBuffer(),
    'AVIF, 10 bits': () => flat.clone().avif({ effort: 0, bitdepth: 10 }).toBuffer(),
    GIF: () => flat.clone().gif().toBuffer(),
    'TIFF, one strip': () => flat.clone().tiff({ compression: 'deflate' }).toBuffer(),
    'TIFF, tiles': () =>
      flat.clone().tiff({ compression: 'deflate', tile: true, tileWidth: 512, tileHeight: 512 }).toBuffer(),
    'BMP, 1 bit': () => bmp({ ...size, bits: 1, palette: [0xc82828, 0], data: Buffer.alloc(1000 * 6000) }),
    'BMP, run lengths': () => bmp({ ...size, bits: 8, compression: 1, palette: [0xc82828], data: Buffer.from([0, 1]) }),
  };
}

function tableBytes(gif: Buffer): number {
  return gif[10]! & 0x80 ? 3 * 2 ** ((gif[10]! & 7) + 1) : 0;
}

function gifFrame(): Buffer {
  const frame = Buffer.from([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0]);
  return frame;
}

async function manyWebpFrames(webp: Buffer): Promise<Buffer> {
  const frame = Buffer.alloc(16);
  frame.writeUIntLE(15, 6, 3);
  frame.writeUIntLE(15, 9, 3);
  const picture = Buffer.concat([frame, webp.subarray(12)]);
  const start = extendedWebp(webp, { width: 16, height: 16 }, 0b10).subarray(0, 30);
  return withWebpChunks(start, [
    ['ANIM', Buffer.alloc(6)],
    ...Array.from({ length: 100_000 }, () => ['ANMF', picture] as const),
  ]);
}

/** A scan more of a progressive JPEG costs a few bytes and a pass over all its blocks. */
async function manyScans(): Promise<Buffer> {
  const jpeg = await picture({ width: 6000, height: 6000 })
    .jpeg({ progressive: true, chromaSubsampling: '4:4:4' })
    .toBuffer();
  const last = jpeg.lastIndexOf(Buffer.from([0xff, 0xda]));
  return Buffer.concat([jpeg.subarray(0, -2), repeated(3000, jpeg.subarray(last, -2)), jpeg.subarray(-2)]);
}

function manyDirectories(count: number): Buffer {
  const { file, nextAt } = tiff({ width: 16, height: 16, samples: 1, photometric: 1, pixels: Buffer.alloc(256) });
  const start = file.readUInt32LE(4);
  const directory = file.subarray(start, nextAt + 4);
  const all = Buffer.concat([file, repeated(count, directory)]);
  for (let i = 0; i <= count; i++) {
    const at = i === 0 ? nextAt : file.length + (i - 1) * directory.length + directory.length - 4;
    all.writeUInt32LE(i === count ? 0 : file.length + i * directory.length, at);
  }
  return all;
}

function ownNext(): Buffer {
  const { file, nextAt } = tiff({ width: 16, height: 16, samples: 1, photometric: 1, pixels: Buffer.alloc(256) });
  file.writeUInt32LE(file.readUInt32LE(4), nextAt);
  return file;
}

/** Seven passes of rows, all of them empty. @param pixelBytes bytes of a pixel */
function adam7Rows({ width, height }: { width: number; height: number }, pixelBytes: number): Buffer {
  const passes = [
    [0, 8, 0, 8],
    [4, 8, 0, 8],
    [0, 4, 4, 8],
    [2, 4, 0, 4],
    [0, 2, 2, 4],
    [1, 2, 0, 2],
    [0, 1, 1, 2],
  ];
  const bytes = passes.reduce((sum, [x, dx, y, dy]) => {
    const across = Math.ceil((width - x!) / dx!);
    return sum + Math.ceil((height - y!) / dy!) * (1 + across * pixelBytes);
  }, 0);
  return Buffer.alloc(bytes);
}
