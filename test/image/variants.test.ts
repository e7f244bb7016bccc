// Odd but intact pictures of all formats: each is read as viewers show it, and what was changed is told.

import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import t, { type Test } from 'tap';
import { type Conversion, PictureReader } from '../../src/image/host/picture-reader.js';
import {
  bmp,
  extendedWebp,
  jpegSegment,
  png,
  pngChunk,
  tiff,
  withJpegSegments,
  withPngChunks,
  withWebpChunks,
} from './files.js';

const reader = new PictureReader({ maxBytes: 2 ** 30, timeoutMs: 120_000 });
t.teardown(() => reader.close());
const sample = (name: string) => readFileSync(new URL(`samples/${name}`, import.meta.url));
const size = { width: 64, height: 48 };

async function read(bytes: Buffer, background: readonly [number, number, number] = [0, 0, 255]) {
  const starter = reader.inspect(bytes, 1_000_000);
  const { pixels, converted } = await reader.decode(starter, size, 'fill', background);
  const at = (x: number, y: number) => [...pixels.data.subarray(3 * (y * 64 + x), 3 * (y * 64 + x) + 3)];
  return { starter, converted, middle: at(32, 24), topLeft: at(3, 3), topRight: at(60, 3), bottomLeft: at(3, 44) };
}

const near = (actual: readonly number[], expected: readonly number[], tolerance = 4) =>
  actual.every((value, i) => Math.abs(value - expected[i]!) <= tolerance);

type Case = readonly [name: string, bytes: Buffer, rgb: readonly number[], converted?: readonly Conversion[]];

async function walk(t: Test, cases: readonly Case[]) {
  for (const [name, bytes, rgb, expected = []] of cases) {
    const { middle, converted } = await read(bytes);
    t.ok(near(middle, rgb), `${name}: ${middle}, expected ${rgb}`);
    t.strictSame(converted, expected, `${name}: told`);
  }
}

const solid = (background: string, channels: 3 | 4 = 3) => sharp({ create: { ...size, channels, background } });
const pixelsOf = (...samples: number[]) => Buffer.from(Array.from({ length: 64 * 48 }, () => samples).flat());
const shorts = (...samples: number[]) => {
  const data = Buffer.alloc(64 * 48 * samples.length * 2);
  for (let i = 0; i < data.length / 2; i++) data.writeUInt16LE(samples[i % samples.length]!, 2 * i);
  return data;
};
const floats = (...samples: number[]) => {
  const data = Buffer.alloc(64 * 48 * samples.length * 4);
  for (let i = 0; i < data.length / 4; i++) data.writeFloatLE(samples[i % samples.length]!, 4 * i);
  return data;
};

t.test('JPEGs that libjpeg warns about', async (t) => {
  const jpeg = await solid('#3264c8').jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
  const tables = jpeg.indexOf(Buffer.from([0xff, 0xdb]));
  const jfif = (major: number) =>
    jpegSegment(0xe0, Buffer.from([...Buffer.from('JFIF\0'), major, 5, 0, 0, 1, 0, 1, 0, 0]));
  const scanHeader = Buffer.from(jpeg);
  const scan = scanHeader.indexOf(Buffer.from([0xff, 0xda]));
  scanHeader[scan + 4 + 1 + 2 * 3 + 1] = 0; // Se
  const blue = [0x32, 0x64, 0xc8];
  await walk(t, [
    [
      'stray bytes between segments',
      Buffer.concat([jpeg.subarray(0, tables), Buffer.alloc(7), jpeg.subarray(tables)]),
      blue,
    ],
    ['stray bytes after the picture', Buffer.concat([jpeg, Buffer.alloc(100, 7)]), blue],
    ['JFIF 2.05', withJpegSegments(jpeg, jfif(2)), blue],
    ['a scan header whose Se is 0', scanHeader, blue],
    ['an unknown APP15', withJpegSegments(jpeg, jpegSegment(0xef, Buffer.alloc(100))), blue],
    [
      'fill bytes before a segment',
      Buffer.concat([jpeg.subarray(0, tables), Buffer.alloc(5, 0xff), jpeg.subarray(tables)]),
      blue,
    ],
  ]);
  const { topLeft, middle } = await read(sample('samsung-sos.jpg'));
  t.ok(near(topLeft, [220, 30, 30], 8) && !near(middle, topLeft), `a phone's: ${topLeft}`);
});

t.test('TIFFs: extra samples are left out, and only those that say so are transparency', async (t) => {
  const rgb = (extraSamples: number[], ...samples: number[]) =>
    tiff({ ...size, samples: samples.length, photometric: 2, extraSamples, pixels: pixelsOf(...samples) }).file;
  const grey = (extraSamples: number[], ...samples: number[]) =>
    tiff({ ...size, samples: samples.length, photometric: 1, extraSamples, pixels: pixelsOf(...samples) }).file;
  const cmyk = (extraSamples: number[], ...samples: number[]) =>
    tiff({ ...size, samples: samples.length, photometric: 5, extraSamples, pixels: pixelsOf(...samples) }).file;
  const plainCmyk = (await read(cmyk([], 10, 20, 30, 40))).middle;
  const palette = Buffer.alloc(3 * 256 * 2);
  for (let i = 0; i < 256; i++) {
    palette.writeUInt16LE(200 * 257, 2 * i);
    palette.writeUInt16LE(100 * 257, 512 + 2 * i);
    palette.writeUInt16LE(50 * 257, 1024 + 2 * i);
  }
  await walk(t, [
    ['RGB', rgb([], 200, 100, 50), [200, 100, 50]],
    ['RGB and a selection', rgb([0], 200, 100, 50, 0), [200, 100, 50]],
    ['RGB and two selections', rgb([0, 0], 200, 100, 50, 0, 255), [200, 100, 50]],
    ['RGB and three selections', rgb([0, 0, 0], 200, 100, 50, 0, 255, 9), [200, 100, 50]],
    ['RGB and transparency', rgb([2], 200, 100, 50, 0), [0, 0, 255], ['transparency']],
    ['RGB, opaque', rgb([2], 200, 100, 50, 255), [200, 100, 50]],
    ['RGB, opaque, and a selection', rgb([2, 0], 200, 100, 50, 255, 0), [200, 100, 50]],
    ['RGB, a selection, and transparency', rgb([0, 2], 200, 100, 50, 77, 0), [0, 0, 255], ['transparency']],
    ['RGB that is multiplied by its transparency', rgb([1], 100, 50, 25, 128), [100, 50, 152], ['transparency']],
    ['the same, and a selection', rgb([1, 0], 100, 50, 25, 128, 7), [100, 50, 152], ['transparency']],
    ['RGB with a sample that nobody explains', rgb([], 200, 100, 50, 0), [200, 100, 50]],
    ['grey', grey([], 77), [77, 77, 77]],
    ['grey and a selection', grey([0], 77, 0), [77, 77, 77]],
    ['grey and transparency', grey([2], 77, 0), [0, 0, 255], ['transparency']],
    ['grey and two selections', grey([0, 0], 77, 0, 9), [77, 77, 77]],
    ['grey and three selections', grey([0, 0, 0], 77, 0, 9, 3), [77, 77, 77]],
    ['CMYK and a selection', cmyk([0], 10, 20, 30, 40, 0), plainCmyk, ['colour_space']],
    ['CMYK and transparency', cmyk([2], 10, 20, 30, 40, 0), [0, 0, 255], ['colour_space', 'transparency']],
    ['CMYK and two selections', cmyk([0, 0], 10, 20, 30, 40, 0, 9), plainCmyk, ['colour_space']],
    ['white is zero', tiff({ ...size, samples: 1, photometric: 0, pixels: pixelsOf(55) }).file, [200, 200, 200]],
    [
      'palette',
      tiff({ ...size, samples: 1, photometric: 3, pixels: pixelsOf(7), entries: [[320, 3, 768, palette]] }).file,
      [200, 100, 50],
    ],
    [
      'big endian',
      tiff({ ...size, samples: 3, photometric: 2, pixels: pixelsOf(200, 100, 50), bigEndian: true }).file,
      [200, 100, 50],
    ],
    [
      '16 bits',
      tiff({ ...size, samples: 3, photometric: 2, bits: 16, pixels: shorts(51400, 25700, 12850) }).file,
      [200, 100, 50],
      ['bit_depth'],
    ],
    [
      '16 bits and a selection',
      tiff({ ...size, samples: 4, photometric: 2, bits: 16, extraSamples: [0], pixels: shorts(51400, 25700, 12850, 0) })
        .file,
      [200, 100, 50],
      ['bit_depth'],
    ],
    ['LZW', await solid('#c86432').tiff({ compression: 'lzw', predictor: 'horizontal' }).toBuffer(), [200, 100, 50]],
    [
      'tiles',
      await solid('#c86432').tiff({ compression: 'deflate', tile: true, tileWidth: 16, tileHeight: 16 }).toBuffer(),
      [200, 100, 50],
    ],
    ['JPEG inside', await solid('#c86432').tiff({ compression: 'jpeg', quality: 95 }).toBuffer(), [200, 100, 50]],
    ['BigTIFF', await solid('#c86432').tiff({ compression: 'none', bigtiff: true }).toBuffer(), [200, 100, 50]],
  ]);
  const { topLeft } = await read(sample('rgb-alpha-extra.tif'));
  t.ok(near(topLeft, [220, 30, 30]), `RGB, transparency and a selection: ${topLeft}`);
});

t.test('TIFFs whose samples nobody can place are refused with a sentence', async (t) => {
  const cases: [name: string, bytes: Buffer, message: RegExp][] = [
    [
      'float',
      tiff({ ...size, samples: 3, photometric: 2, bits: 32, sampleFormat: 3, pixels: floats(0.5, 0.5, 0.5) }).file,
      /type float.*send 8 or 16 bits/,
    ],
    [
      'float and a selection',
      tiff({
        ...size,
        samples: 4,
        photometric: 2,
        bits: 32,
        sampleFormat: 3,
        extraSamples: [0],
        pixels: floats(0.5, 0.5, 0.5, 1),
      }).file,
      /type float/,
    ],
    [
      'grey float',
      tiff({ ...size, samples: 1, photometric: 1, bits: 32, sampleFormat: 3, pixels: floats(0.5) }).file,
      /type float/,
    ],
    [
      'signed',
      tiff({ ...size, samples: 3, photometric: 2, bits: 16, sampleFormat: 2, pixels: shorts(9, 9, 9) }).file,
      /type short/,
    ],
    ['32 bits', tiff({ ...size, samples: 1, photometric: 1, bits: 32, pixels: floats(0.5) }).file, /type uint/],
  ];
  for (const [name, bytes, message] of cases) {
    await t.rejects(read(bytes), { code: 'unsupported_picture', message }, name);
  }
});

t.test('colours that a file describes are converted, and said to be', async (t) => {
  const grey = await solid('#808080').toColourspace('b-w').png().toBuffer();
  const mid = await solid('#808080').png().toBuffer();
  const red = await solid('#c80000').png().toBuffer();
  const icc = (profile: Buffer) => pngChunk('iCCP', Buffer.concat([Buffer.from('icc\0\0'), deflateSync(profile)]));
  const gama = (value: number) => pngChunk('gAMA', be32(value));
  const p3 = [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000];
  const srgb = [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000];
  const chrm = (values: number[]) => pngChunk('cHRM', Buffer.concat(values.map(be32)));
  const cicp = (primaries: number, transfer: number) => pngChunk('cICP', Buffer.from([primaries, transfer, 0, 1]));
  const colour = ['colour_space'] as const;
  const avif = async (background: string, primaries: number, transfer: number, bitdepth: 8 | 10 = 8) => {
    const bytes = await solid(background).avif({ lossless: true, bitdepth }).toBuffer();
    const nclx = bytes.indexOf('nclx');
    bytes.writeUInt16BE(primaries, nclx + 4);
    bytes.writeUInt16BE(transfer, nclx + 6);
    return bytes;
  };
  await walk(t, [
    // 128 / 255 of gamma 1.0 is half the light, which is 188 of sRGB
    ['a grey profile of gamma 1.0', withPngChunks(grey, icc(greyProfile(1))), [188, 188, 188], colour],
    ['a grey profile of gamma 1.8', withPngChunks(grey, icc(greyProfile(1.8))), [148, 148, 148], colour],
    [
      'a grey profile in a JPEG',
      withJpegSegments(
        await sharp(grey).toColourspace('b-w').jpeg().toBuffer(),
        jpegSegment(0xe2, Buffer.concat([Buffer.from('ICC_PROFILE\0\x01\x01'), greyProfile(1)])),
      ),
      [188, 188, 188],
      colour,
    ],
    [
      'a grey profile in a TIFF',
      tiff({
        ...size,
        samples: 1,
        photometric: 1,
        pixels: pixelsOf(128),
        entries: [[34675, 7, greyProfile(1).length, greyProfile(1)]],
      }).file,
      [188, 188, 188],
      colour,
    ],
    ['a grey profile on a colour picture says nothing', withPngChunks(mid, icc(greyProfile(1))), [128, 128, 128]],
    ['a profile that is none', withPngChunks(mid, icc(Buffer.alloc(200))), [128, 128, 128]],
    ['gAMA 1.0', withPngChunks(mid, gama(100_000)), [188, 188, 188], colour],
    ['gAMA 1/1.8', withPngChunks(mid, gama(55_556)), [148, 148, 148], colour],
    ['gAMA 1/2.2', withPngChunks(mid, gama(45_455)), [128, 128, 128]],
    ['gAMA 0', withPngChunks(mid, gama(0)), [128, 128, 128]],
    ['cHRM of sRGB', withPngChunks(mid, gama(45_455), chrm(srgb)), [128, 128, 128]],
    ['cHRM of Display P3', withPngChunks(red, gama(45_455), chrm(p3)), [219, 0, 0], colour],
    ['cHRM that spans nothing', withPngChunks(red, chrm([0, 0, 0, 0, 0, 0, 0, 0])), [200, 0, 0]],
    ['sRGB before gAMA', withPngChunks(mid, pngChunk('sRGB', Buffer.from([0])), gama(100_000)), [128, 128, 128]],
    ['cICP of sRGB', withPngChunks(mid, cicp(1, 13), gama(100_000)), [128, 128, 128]],
    ['cICP of Display P3', withPngChunks(red, cicp(12, 13)), [219, 0, 0], colour],
    ['cICP before a profile', withPngChunks(mid, cicp(1, 8), icc(greyProfile(1))), [188, 188, 188], colour],
    // PQ 128 / 255 is 93 nits, of 203
    ['cICP of PQ', withPngChunks(mid, cicp(1, 16)), [179, 179, 179], colour],
    [
      'cICP of PQ, brighter than white',
      withPngChunks(await solid('#d0d0d0').png().toBuffer(), cicp(9, 16)),
      [255, 255, 255],
      ['colour_space', 'highlights'],
    ],
    [
      'cICP of HLG at its white',
      withPngChunks(await solid('#bfbfbf').png().toBuffer(), cicp(9, 18)),
      [255, 255, 255],
      colour,
    ],
    ['AVIF of sRGB', await avif('#808080', 1, 13), [128, 128, 128]],
    ["AVIF with video's curve", await avif('#808080', 1, 1), [128, 128, 128]],
    ['AVIF that says nothing', await avif('#808080', 2, 2), [128, 128, 128]],
    ['AVIF of Display P3', await avif('#c80000', 12, 13), [219, 0, 0], colour],
    ['AVIF of PQ', await avif('#808080', 9, 16, 10), [179, 179, 179], ['colour_space', 'bit_depth']],
    ['AVIF of HLG', await avif('#ffffff', 9, 18, 10), [255, 255, 255], ['colour_space', 'bit_depth', 'highlights']],
    ['HEIC of Display P3', sample('display-p3.heic'), [218, 0, 27], colour],
  ]);
});

t.test('HEIC', async (t) => {
  const [red, green, blue] = [
    [200, 40, 40],
    [40, 200, 40],
    [40, 40, 200],
  ];
  const plain = await read(sample('plain.heic'));
  t.match([plain.starter.width, plain.starter.height, plain.converted], [64, 48, []]);
  t.ok(
    near(plain.topLeft, red!, 8) && near(plain.topRight, green!, 8) && near(plain.bottomLeft, blue!, 8),
    `${plain.topLeft}`,
  );
  const turned = await read(sample('turned.heic'));
  t.match([turned.starter.width, turned.starter.height], [48, 64], 'a quarter turn');
  t.ok(near(turned.topLeft, blue!, 8) && near(turned.topRight, red!, 8), `turned: ${turned.topLeft}`);
  const deep = await read(sample('ten-bits.heic'));
  t.strictSame(deep.converted, ['bit_depth']);
  t.ok(near(deep.topLeft, red!, 8), `ten bits: ${deep.topLeft}`);
  const transparent = await read(sample('transparent.heic'));
  t.strictSame(transparent.converted, ['transparency']);
  t.ok(near(transparent.topLeft, [0, 0, 255], 8) && near(transparent.topRight, green!, 8), `${transparent.topLeft}`);
  const tiles = await read(sample('tiles.heic'));
  t.match([tiles.starter.width, tiles.starter.height], [200, 150], 'a grid');
  t.ok(near(tiles.topLeft, red!, 8) && near(tiles.bottomLeft, blue!, 8), `tiles: ${tiles.topLeft}`);
});

t.test('BMP', async (t) => {
  const rows = (bits: number, ...row: number[]) => {
    const bytes = Math.ceil((64 * bits) / 32) * 4;
    return Buffer.concat(Array.from({ length: 48 }, () => Buffer.alloc(bytes, Buffer.from(row))));
  };
  const palette = [0x000000, 0xc86432];
  const rgb = [200, 100, 50];
  const rle8 = Buffer.concat([
    ...Array.from({ length: 48 }, () => Buffer.from([40, 1, 0, 24, ...Array(24).fill(1), 0, 0])),
    Buffer.from([0, 1]),
  ]);
  const rle4 = Buffer.concat([
    ...Array.from({ length: 48 }, () => Buffer.from([60, 0x11, 0, 4, 0x11, 0x11, 0, 0])),
    Buffer.from([0, 1]),
  ]);
  const skips = Buffer.from([0, 2, 30, 20, 8, 1, 0, 2, 0, 1, 0, 1]);
  await walk(t, [
    ['1 bit', bmp({ ...size, bits: 1, palette, data: rows(1, 0xff) }), rgb],
    ['4 bits', bmp({ ...size, bits: 4, palette, data: rows(4, 0x11) }), rgb],
    ['8 bits', bmp({ ...size, bits: 8, palette, data: rows(8, 1) }), rgb],
    ['8 bits, an index beyond the palette', bmp({ ...size, bits: 8, palette, data: rows(8, 9) }), [0, 0, 0]],
    [
      '8 bits, OS/2',
      bmp({ ...size, bits: 8, palette: Array(256).fill(0xc86432), headerBytes: 12, data: rows(8, 1) }),
      rgb,
    ],
    ['16 bits', bmp({ ...size, bits: 16, data: rows(16, 0x86, 0x65) }), [206, 99, 49]],
    [
      '16 bits, 565',
      bmp({ ...size, bits: 16, compression: 3, masks: [0xf800, 0x07e0, 0x001f], data: rows(16, 0x26, 0xcb) }),
      [206, 101, 49],
    ],
    ['24 bits', bmp({ ...size, bits: 24, data: rows(24, 50, 100, 200) }), rgb],
    ['24 bits, from the top', bmp({ width: 64, height: -48, bits: 24, data: rows(24, 50, 100, 200) }), rgb],
    ['32 bits', bmp({ ...size, bits: 32, data: rows(32, 50, 100, 200, 0) }), rgb],
    [
      '32 bits with masks',
      bmp({ ...size, bits: 32, compression: 3, masks: [0xff, 0xff00, 0xff0000], data: rows(32, 200, 100, 50, 0) }),
      rgb,
    ],
    [
      '32 bits, transparent',
      bmp({
        ...size,
        bits: 32,
        compression: 3,
        masks: [0xff0000, 0xff00, 0xff, 0xff000000],
        headerBytes: 108,
        data: rows(32, 50, 100, 200, 128),
      }),
      [100, 50, 152],
      ['transparency'],
    ],
    [
      '32 bits, transparency that nobody wrote',
      bmp({
        ...size,
        bits: 32,
        compression: 3,
        masks: [0xff0000, 0xff00, 0xff, 0xff000000],
        headerBytes: 124,
        data: rows(32, 50, 100, 200, 0),
      }),
      rgb,
    ],
    ['run lengths of bytes', bmp({ ...size, bits: 8, compression: 1, palette, data: rle8 }), rgb],
    ['run lengths of halves', bmp({ ...size, bits: 4, compression: 2, palette, data: rle4 }), rgb],
    ['run lengths that skip', bmp({ ...size, bits: 8, compression: 1, palette: [0xc86432, 0], data: skips }), rgb],
  ]);
  const upsideDown = Buffer.concat([
    rows(24, 50, 100, 200).subarray(0, 192 * 24),
    rows(24, 0, 0, 0).subarray(0, 192 * 24),
  ]);
  t.ok(near((await read(bmp({ ...size, bits: 24, data: upsideDown }))).bottomLeft, rgb), 'rows from the bottom');
  t.ok(
    near((await read(bmp({ width: 64, height: -48, bits: 24, data: upsideDown }))).topLeft, rgb),
    'rows from the top',
  );
});

t.test('of animations and documents the first picture is read, which is told', async (t) => {
  const first = await solid('#c86432').png().toBuffer();
  const second = await solid('#0000ff').png().toBuffer();
  const frames = (format: 'gif' | 'webp') =>
    sharp([first, second], { join: { animated: true } })
      [format]({ effort: 1 })
      .toBuffer();
  const { file, nextAt } = tiff({ ...size, samples: 3, photometric: 2, pixels: pixelsOf(200, 100, 50) });
  file.writeUInt32LE(file.readUInt32LE(4), nextAt);
  const rgb = [200, 100, 50];
  const animation = ['animation'] as const;
  await walk(t, [
    ['GIF', await frames('gif'), rgb, animation],
    ['GIF of one frame', await sharp(first).gif().toBuffer(), rgb],
    ['WebP', await frames('webp'), rgb, animation],
    ['APNG', withPngChunks(first, pngChunk('acTL', Buffer.concat([be32(2), be32(0)]))), rgb, animation],
    ['APNG of one frame', withPngChunks(first, pngChunk('acTL', Buffer.concat([be32(1), be32(0)]))), rgb],
    ['TIFF', file, rgb, animation],
  ]);
});

t.test('EXIF orientation, in all formats that have it', async (t) => {
  // Red, green above blue, white; as orientation 6 has it before the turn.
  const upright = Buffer.alloc(64 * 48 * 3);
  for (let y = 0; y < 48; y++) {
    for (let x = 0; x < 64; x++) {
      upright.set(
        y < 24 ? (x < 32 ? [200, 40, 40] : [40, 200, 40]) : x < 32 ? [40, 40, 200] : [220, 220, 220],
        3 * (64 * y + x),
      );
    }
  }
  const raw = sharp(upright, { raw: { ...size, channels: 3 } });
  const undo: Record<number, () => Sharp> = {
    1: () => raw.clone(),
    2: () => raw.clone().flop(),
    3: () => raw.clone().rotate(180),
    4: () => raw.clone().flip(),
    5: () => sharpOf(raw.clone().rotate(90), (image) => image.flop()),
    6: () => raw.clone().rotate(270),
    7: () => sharpOf(raw.clone().rotate(270), (image) => image.flop()),
    8: () => raw.clone().rotate(90),
  };
  for (const [orientation, make] of Object.entries(undo)) {
    const stored = await make().png().toBuffer();
    const turn = { orientation: Number(orientation) };
    const exif = Buffer.concat([
      Buffer.from('MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0', 'latin1'),
      Buffer.from([Number(orientation), 0, 0, 0, 0, 0, 0]),
    ]);
    const { width, height } = await sharp(stored).metadata();
    const files: [string, Buffer][] = [
      ['JPEG', await sharp(stored).withMetadata(turn).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer()],
      ['PNG', withPngChunks(stored, pngChunk('eXIf', exif))],
      [
        'WebP',
        withWebpChunks(
          extendedWebp(await sharp(stored).webp({ lossless: true }).toBuffer(), { width, height }, 0b1000),
          [['EXIF', exif]],
        ),
      ],
      ['TIFF', await sharp(stored).withMetadata(turn).tiff({ compression: 'none' }).toBuffer()],
    ];
    for (const [format, bytes] of files) {
      const { starter, topLeft, topRight, bottomLeft } = await read(bytes);
      const right =
        near(topLeft, [200, 40, 40], 12) && near(topRight, [40, 200, 40], 12) && near(bottomLeft, [40, 40, 200], 12);
      t.ok(right, `${format} ${orientation}: ${topLeft} ${topRight} ${bottomLeft}`);
      t.match([starter.width, starter.height], [64, 48], `${format} ${orientation}`);
    }
  }
});

t.test('PNGs of all kinds of samples', async (t) => {
  const rowsOf = (bytes: number, ...row: number[]) =>
    Buffer.concat(
      Array.from({ length: 48 }, () => Buffer.concat([Buffer.from([0]), Buffer.alloc(bytes, Buffer.from(row))])),
    );
  const palette = pngChunk('PLTE', Buffer.from([200, 100, 50, 0, 0, 0]));
  await walk(t, [
    ['1 bit grey', png({ ...size, bits: 1, type: 0, rows: rowsOf(8, 0xff) }), [255, 255, 255]],
    ['2 bits grey', png({ ...size, bits: 2, type: 0, rows: rowsOf(16, 0x55) }), [85, 85, 85]],
    ['16 bits grey', png({ ...size, bits: 16, type: 0, rows: rowsOf(128, 77, 77) }), [77, 77, 77], ['bit_depth']],
    ['grey and alpha', png({ ...size, type: 4, rows: rowsOf(128, 77, 0) }), [0, 0, 255], ['transparency']],
    [
      '16 bits with alpha',
      png({ ...size, bits: 16, type: 6, rows: rowsOf(512, 200, 200, 100, 100, 50, 50, 255, 255) }),
      [200, 100, 50],
      ['bit_depth'],
    ],
    ['palette', withPngChunks(png({ ...size, type: 3, rows: rowsOf(64, 0) }), palette), [200, 100, 50]],
    [
      'palette with a transparent entry',
      withPngChunks(png({ ...size, type: 3, rows: rowsOf(64, 0) }), palette, pngChunk('tRNS', Buffer.from([0]))),
      [0, 0, 255],
      ['transparency'],
    ],
    [
      'a transparent colour',
      withPngChunks(png({ ...size, rows: rowsOf(192, 9, 9, 9) }), pngChunk('tRNS', Buffer.from([0, 9, 0, 9, 0, 9]))),
      [0, 0, 255],
      ['transparency'],
    ],
  ]);
});

function sharpOf(image: Sharp, then: (image: Sharp) => Sharp): Sharp {
  // In two steps: within one, sharp turns after it mirrors.
  const stream = image.png();
  return then(stream.pipe(sharp()));
}

function be32(value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(value);
  return data;
}

/** The smallest profile of grey: a white point and a power. Source: ICC.1:2022, 8.3.4 and 10.6. */
function greyProfile(gamma: number): Buffer {
  const profile = Buffer.alloc(128 + 4 + 2 * 12 + 20 + 16);
  profile.writeUInt32BE(profile.length, 0);
  profile.writeUInt32BE(0x02400000, 8);
  profile.write('mntrGRAYXYZ ', 12, 'latin1');
  profile.write('acsp', 36, 'latin1');
  const whitePoint = [0xf6d6, 0x10000, 0xd32d];
  for (const [i, v] of whitePoint.entries()) profile.writeUInt32BE(v, 68 + 4 * i);
  profile.writeUInt32BE(2, 128);
  const tags: [string, number, number][] = [
    ['wtpt', 156, 20],
    ['kTRC', 176, 14],
  ];
  for (const [i, [name, at, length]] of tags.entries()) {
    profile.write(name, 132 + 12 * i, 'latin1');
    profile.writeUInt32BE(at, 136 + 12 * i);
    profile.writeUInt32BE(length, 140 + 12 * i);
  }
  profile.write('XYZ ', 156, 'latin1');
  for (const [i, v] of whitePoint.entries()) profile.writeUInt32BE(v, 164 + 4 * i);
  profile.write('curv', 176, 'latin1');
  profile.writeUInt32BE(1, 184);
  profile.writeUInt16BE(Math.round(gamma * 256), 188);
  return profile;
}
