import sharp from 'sharp';
import t from 'tap';
import { decode, inspect, isColour } from '../../src/image/decode.js';
import { encode, formats } from '../../src/image/encode.js';
import { PictureError } from '../../src/image/picture-error.js';

const limit = 50_000_000;
const solid = (channels: 3 | 4, background: string, width = 64, height = 48) =>
  sharp({ create: { width, height, channels, background } });
const decoded = async (bytes: Buffer, size = { width: 64, height: 48 }, background = 'white') =>
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
    const { data, width, height } = await decoded(await bytes);
    t.strictSame([width, height, data.length], [64, 48, 64 * 48 * 3], format);
    t.ok(near(pixel(data), [0x32, 0x64, 0xc8], 4), `${format}: ${pixel(data)}`);
  }
});

t.test('grey, 16 bit, palette, CMYK and transparent pictures become RGB, and what was converted is told', async (t) => {
  const cases: [name: string, bytes: Buffer, rgb: number[], converted: string[]][] = [
    ['grey', await solid(3, '#808080').toColourspace('b-w').png().toBuffer(), [128, 128, 128], []],
    ['16 bit', await solid(3, '#3264c8').toColourspace('rgb16').png().toBuffer(), [50, 100, 200], ['bit_depth']],
    ['palette', await solid(3, '#3264c8').png({ palette: true }).toBuffer(), [50, 100, 200], []],
    [
      'CMYK',
      await solid(3, '#ffffff').toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer(),
      [255, 255, 255],
      ['colour_space'],
    ],
    ['transparent', await solid(4, '#ff000000').png().toBuffer(), [0, 0, 255], ['transparency']],
  ];
  for (const [name, bytes, rgb, converted] of cases) {
    t.strictSame((await inspect(bytes, limit)).converted, converted, `${name}: told`);
    const { data } = await decoded(bytes, undefined, 'blue');
    t.ok(near(pixel(data), rgb, 4), `${name}: ${pixel(data)}`);
  }
});

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
  const starter = await inspect(frames, limit);
  t.strictSame([starter.height, starter.converted], [48, ['animation']]);
  t.ok(near(pixel((await decoded(frames)).data), [255, 0, 0], 4));
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
    pixel((await decode(starter, { width: 64, height: 64 }, fit, '#0000ff')).data);
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
  const pixels = await decoded(withGps);
  for (const format of formats) {
    const {
      exif,
      icc,
      xmp,
      format: actual,
    } = await sharp(await encode(pixels, format, 'compositeWithTrainedAlgorithmicMedia')).metadata();
    t.equal(actual, format === 'avif' ? 'heif' : format);
    t.match(xmp?.toString(), 'digitalsourcetype/compositeWithTrainedAlgorithmicMedia', `${format}: mark`);
    t.strictSame([exif, icc], [undefined, undefined], `${format}: nothing else`);
  }
});

t.test('colours', async (t) => {
  for (const colour of ['#fff', '#204060', 'white', 'RebeccaPurple']) t.ok(isColour(colour), colour);
  for (const colour of ['', '#12', 'blau', 'url(x)']) t.notOk(isColour(colour), JSON.stringify(colour));
});
