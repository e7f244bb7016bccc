import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import t from 'tap';
import { parseColour, type Rgb } from '../../src/image/colour.js';
import { encode, formats } from '../../src/image/encode.js';
import {
  type Fit,
  type MaskReading,
  PictureError,
  PictureReader,
  type Starter,
} from '../../src/image/host/picture-reader.js';
import type { Size } from '../../src/image/size.js';

const limit = 50_000_000;
const reader = new PictureReader({ maxBytes: 2 ** 30, timeoutMs: 60_000 });
t.teardown(() => reader.close());
const inspect = async (bytes: Buffer, maxPixels: number) => reader.inspect(bytes, maxPixels);
const decode = (starter: Starter, size: Size, fit: Fit, background: Rgb) =>
  reader.decode(starter, size, fit, background);
const decodeMask = async (mask: Starter, size: Size, fit: Fit, reading?: MaskReading) =>
  (await reader.decodeMask(mask, size, fit, reading)).data;
const solid = (channels: 3 | 4, background: string, width = 64, height = 48) =>
  sharp({ create: { width, height, channels, background } });
const decoded = async (bytes: Buffer, size = { width: 64, height: 48 }, background: Rgb = [255, 255, 255]) =>
  decode(await inspect(bytes, limit), size, 'cover', background);
const pixel = (data: Uint8Array, index = 0) => [...data.subarray(3 * index, 3 * index + 3)];
const near = (actual: number[], expected: number[], tolerance: number) =>
  actual.every((value, i) => Math.abs(value - expected[i]!) <= tolerance);

t.test('every format on the list is read', async (t) => {
  const picture = solid(3, '#3264c8');
  const cases: Record<string, Promise<Buffer>> = {
    png: picture.clone().png().toBuffer(),
    jpeg: picture.clone().jpeg().toBuffer(),
    webp: picture.clone().webp({ lossless: true }).toBuffer(),
    avif: picture.clone().avif({ lossless: true }).toBuffer(),
    gif: picture.clone().gif().toBuffer(),
    tiff: picture.clone().tiff().toBuffer(),
  };
  for (const [format, bytes] of Object.entries(cases)) {
    const { data, width, height } = (await decoded(await bytes)).pixels;
    t.strictSame([width, height, data.length], [64, 48, 64 * 48 * 3], format);
    t.ok(near(pixel(data), [0x32, 0x64, 0xc8], 4), `${format}: ${pixel(data)}`);
  }
});

t.test(
  'grey, 16 bit, palette, CMYK, wide-gamut and transparent pictures become sRGB, and what was converted is told',
  async (t) => {
    const red = solid(3, '#ff0000');
    const grey = await solid(3, '#808080').toColourspace('b-w').png().toBuffer();
    const cases: [name: string, bytes: Buffer, rgb: number[], converted: string[]][] = [
      ['grey', grey, [128, 128, 128], []],
      ['grey with transparency', await sharp(grey).ensureAlpha(0).png().toBuffer(), [0, 0, 255], ['transparency']],
      ['16 bit', await solid(3, '#3264c8').toColourspace('rgb16').png().toBuffer(), [50, 100, 200], ['bit_depth']],
      [
        '16 bit with a profile',
        await red.clone().toColourspace('rgb16').withIccProfile('srgb').png().toBuffer(),
        [255, 0, 0],
        ['bit_depth'],
      ],
      ['8 bit with an sRGB profile', await red.clone().withIccProfile('srgb').png().toBuffer(), [255, 0, 0], []],
      [
        'Display P3',
        await solid(3, '#646464').withIccProfile('p3').png().toBuffer(),
        [100, 100, 100],
        ['colour_space'],
      ],
      ['palette', await solid(3, '#3264c8').png({ palette: true }).toBuffer(), [50, 100, 200], []],
      [
        'CMYK',
        await solid(3, '#ffffff').toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer(),
        [255, 255, 255],
        ['colour_space'],
      ],
      ['transparent', await solid(4, '#ff000000').png().toBuffer(), [0, 0, 255], ['transparency']],
      ['opaque with an alpha channel', await solid(4, '#3264c8ff').png().toBuffer(), [50, 100, 200], []],
    ];
    for (const [name, bytes, rgb, expected] of cases) {
      const { pixels, converted } = await decoded(bytes, undefined, [0, 0, 255]);
      t.strictSame(converted, expected, `${name}: told`);
      t.ok(near(pixel(pixels.data), rgb, 4), `${name}: ${pixel(pixels.data)}`);
    }
  },
);

t.test('EXIF orientation is applied before the size is chosen', async (t) => {
  const upright = await solid(3, 'red', 80, 40).jpeg().toBuffer();
  const rotated = await sharp(upright).withMetadata({ orientation: 6 }).toBuffer();
  const { width, height } = await inspect(rotated, limit);
  t.strictSame({ width, height }, { width: 40, height: 80 });
});

t.test('an animation gives its first frame', async (t) => {
  const frames = await sharp([await solid(3, 'red').png().toBuffer(), await solid(3, 'blue').png().toBuffer()], {
    join: { animated: true },
  })
    .gif()
    .toBuffer();
  t.equal((await inspect(frames, limit)).height, 48);
  const { pixels, converted } = await decoded(frames);
  t.strictSame(converted, ['animation']);
  t.ok(near(pixel(pixels.data), [255, 0, 0], 4));
});

t.test('fit: cover cuts, contain adds bars, fill stretches', async (t) => {
  // Left half red, right half lime, twice as wide as high.
  const picture = await sharp({
    create: { width: 128, height: 64, channels: 3, background: '#ff0000' },
  })
    .composite([{ input: await solid(3, '#00ff00', 64, 64).png().toBuffer(), left: 64, top: 0 }])
    .png()
    .toBuffer();
  const starter = await inspect(picture, limit);
  const corner = async (fit: 'cover' | 'contain' | 'fill') =>
    pixel((await decode(starter, { width: 64, height: 64 }, fit, [0, 0, 255])).pixels.data);
  t.strictSame(await corner('cover'), [255, 0, 0]);
  t.strictSame(await corner('contain'), [0, 0, 255]);
  t.strictSame(await corner('fill'), [255, 0, 0]);
});

t.test('what is not a picture, or a damaged one, is refused', async (t) => {
  const png = await solid(3, 'red', 200, 200).png().toBuffer();
  const noisy = await sharp({
    create: {
      width: 300,
      height: 300,
      channels: 3,
      background: 'red',
      noise: { type: 'gaussian', mean: 128, sigma: 50 },
    },
  })
    .jpeg()
    .toBuffer();
  const rejects = (promise: Promise<unknown>, code: string) =>
    t.rejects(promise, { code, constructor: PictureError }, code);
  for (const text of ['', 'hello', '<svg xmlns="http://www.w3.org/2000/svg"/>', '%PDF-1.4', 'P3 1 1 255 0 0 0']) {
    await rejects(decoded(Buffer.from(text)), 'unsupported_picture');
  }
  await rejects(decoded(noisy.subarray(0, noisy.length / 2)), 'undecodable_picture');
  await rejects(inspect(png, 39_999), 'picture_too_large');
});

t.test('answers carry the provenance mark and none of the metadata of the upload', async (t) => {
  const withGps = await solid(3, 'red')
    .withExif({ IFD0: { Artist: 'somebody' }, IFD3: { GPSLatitudeRef: 'N' } })
    .jpeg()
    .toBuffer();
  const { pixels } = await decoded(withGps);
  for (const format of formats) {
    const {
      exif,
      icc,
      xmp,
      format: actual,
    } = await sharp(await encode(pixels, { format, source: 'compositeWithTrainedAlgorithmicMedia' })).metadata();
    t.equal(actual, format === 'avif' ? 'heif' : format);
    t.match(xmp?.toString(), 'digitalsourcetype/compositeWithTrainedAlgorithmicMedia', `${format}: mark`);
    t.strictSame([exif, icc], [undefined, undefined], `${format}: nothing else`);
  }
});

t.test('the bars of contain have the colour of the background, on grey pictures too', async (t) => {
  const grey = await solid(3, '#808080', 64, 32).toColourspace('b-w').png().toBuffer();
  const { pixels } = await decode(await inspect(grey, limit), { width: 64, height: 64 }, 'contain', [255, 0, 0]);
  t.ok(near(pixel(pixels.data), [255, 0, 0], 2), String(pixel(pixels.data)));
});

t.test('colours', async (t) => {
  const cases: [text: string, rgb: Rgb | undefined][] = [
    ['#fff', [255, 255, 255]],
    ['#204060', [32, 64, 96]],
    ['white', [255, 255, 255]],
    ['RebeccaPurple', [102, 51, 153]],
  ];
  for (const [text, rgb] of cases) t.strictSame(await parseColour(text), rgb, text);
  for (const text of ['', '#12', '#ff000080', 'blau', 'transparent', 'rgb(1,2,3)', 'url(x)']) {
    t.equal(await parseColour(text), undefined, JSON.stringify(text));
  }
});

t.test('masks: white, black, grey and transparent pictures', async (t) => {
  const size = { width: 8, height: 8 };
  const cases: [name: string, bytes: Buffer, luminance: number, transparency: number][] = [
    ['white', await solid(3, 'white', 8, 8).png().toBuffer(), 255, 0],
    ['black', await solid(3, 'black', 8, 8).jpeg().toBuffer(), 0, 0],
    ['grey', await solid(3, '#808080', 8, 8).toColourspace('b-w').png().toBuffer(), 128, 0],
    ['transparent white', await solid(4, '#ffffff00', 8, 8).png().toBuffer(), 0, 255],
    ['half transparent white', await solid(4, '#ffffff80', 8, 8).png().toBuffer(), 128, 127],
    ['one bit', await solid(3, 'white', 8, 8).png({ palette: true, colours: 2 }).toBuffer(), 255, 0],
  ];
  for (const [name, bytes, luminance, transparency] of cases) {
    const mask = await inspect(bytes, limit);
    t.equal((await decodeMask(mask, size, 'cover'))[9], luminance, name);
    t.equal(
      (await decodeMask(mask, size, 'cover', { channel: 'transparency' }))[9],
      transparency,
      `${name}, as transparency`,
    );
  }
  const wide = await inspect(await solid(4, '#ffffff00', 16, 8).png().toBuffer(), limit);
  const fitted = await decodeMask(wide, size, 'contain', { channel: 'transparency' });
  t.strictSame([fitted[0], fitted[4 * 8]], [0, 255], 'the bars of contain are kept');
});

t.test('traps: what a file claims to be does not count, what is in it does', async (t) => {
  const png = await solid(3, 'red', 64, 48).png().toBuffer();
  const lies = Buffer.from(png);
  lies.writeUInt32BE(60_000, 16); // width and height in IHDR, whose checksum is wrong now
  lies.writeUInt32BE(60_000, 20);
  const refused: [name: string, bytes: Buffer, code: RegExp][] = [
    [
      'SVG behind an XML declaration',
      Buffer.from('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
      /unsupported_picture/,
    ],
    [
      'SVG that is compressed',
      gzipSync('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
      /unsupported_picture/,
    ],
    ['PDF', Buffer.from('%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer<<>>\n%%EOF'), /unsupported_picture/],
    ['BMP', Buffer.concat([Buffer.from('BM'), Buffer.alloc(60)]), /unsupported_picture/],
    ['PPM', Buffer.from('P6 1 1 255 abc'), /unsupported_picture/],
    ['Radiance HDR', Buffer.from('#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\nabcd'), /unsupported_picture/],
    ['FITS', Buffer.from('SIMPLE  =                    T'.padEnd(2880)), /unsupported_picture/],
    [
      "libvips' own format",
      Buffer.concat([Buffer.from([0x08, 0xf2, 0xa6, 0xb6]), Buffer.alloc(100)]),
      /unsupported_picture/,
    ],
    ['HTML', Buffer.from('<!doctype html><img src=x>'), /unsupported_picture/],
    ["a JPEG's first bytes", Buffer.from([0xff, 0xd8, 0xff, 0xe0]), /unsupported_picture|undecodable_picture/],
    ['a PNG that lies about its size', lies, /picture_too_large|unsupported_picture|undecodable_picture/],
    ['a PNG without its end', png.subarray(0, png.length - 30), /undecodable_picture/],
    [
      'a TIFF cut off',
      (await solid(3, 'red', 200, 200).tiff({ compression: 'none' }).toBuffer()).subarray(0, 9000),
      /unsupported_picture|undecodable_picture/,
    ],
    ['a GIF cut off', (await noise(200).gif().toBuffer()).subarray(0, 5000), /unsupported_picture|undecodable_picture/],
    [
      'a WebP cut off',
      (await noise(200).webp().toBuffer()).subarray(0, 2000),
      /unsupported_picture|undecodable_picture/,
    ],
    [
      'an AVIF cut off',
      (await noise(200).avif({ effort: 0 }).toBuffer()).subarray(0, 3000),
      /unsupported_picture|undecodable_picture/,
    ],
  ];
  for (const [name, bytes, code] of refused) {
    const error = await decoded(bytes).then(
      () => undefined,
      (reason) => reason,
    );
    t.ok(error instanceof PictureError, `${name}: ${error}`);
    t.match(error?.code, code, name);
  }
});

t.test('loaders that are not on the list are blocked inside libvips', async (t) => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
  await import('../../src/image/worker/unpack.js'); // from here on in this process too
  await t.rejects(sharp(Buffer.from(svg)).metadata(), /unsupported/);
  await t.rejects(sharp(Buffer.from(svg)).png().toBuffer(), /unsupported/);
});

const noise = (side: number) =>
  sharp({
    create: {
      width: side,
      height: side,
      channels: 3,
      background: 'red',
      noise: { type: 'gaussian', mean: 128, sigma: 60 },
    },
  });
