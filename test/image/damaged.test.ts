// Pictures that are cut off or hostile: a sentence each, and the next picture is read as if nothing had been.

import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import t from 'tap';
import { type Header, PictureError, PictureReader } from '../../src/image/host/picture-reader.js';
import { readFile } from '../../src/image/shared/files/read.js';
import { attacks } from './attacks.js';
import { bmp, png } from './files.js';

const reader = new PictureReader({ maxBytes: 2 ** 30, timeoutMs: 120_000 });
t.teardown(() => reader.close());
const size = { width: 64, height: 64 };
const read = async (bytes: Buffer) => reader.decode(reader.inspect(bytes, 50_000_000), size, 'cover', [0, 0, 0]);
const refusal = (bytes: Buffer) =>
  read(bytes).then(
    () => undefined,
    (error) => error as PictureError,
  );

const noise = sharp({
  create: {
    width: 200,
    height: 150,
    channels: 3,
    background: 'red',
    noise: { type: 'gaussian', mean: 128, sigma: 60 },
  },
});
const sample = (name: string) => readFileSync(new URL(`samples/${name}`, import.meta.url));

t.test('what is cut off is refused, wherever the cut is', async (t) => {
  const pixels = await noise.clone().raw().toBuffer();
  const whole: Record<string, Buffer> = {
    PNG: await noise.clone().png().toBuffer(),
    'PNG, interlaced': await noise.clone().png({ progressive: true }).toBuffer(),
    JPEG: await noise.clone().jpeg().toBuffer(),
    'JPEG, progressive': await noise.clone().jpeg({ progressive: true }).toBuffer(),
    WebP: await noise.clone().webp().toBuffer(),
    'WebP, lossless': await noise.clone().webp({ lossless: true }).toBuffer(),
    AVIF: await noise.clone().avif({ effort: 0 }).toBuffer(),
    GIF: await noise.clone().gif({ effort: 1 }).toBuffer(),
    TIFF: await noise.clone().tiff({ compression: 'none' }).toBuffer(),
    'TIFF, deflate': await noise.clone().tiff({ compression: 'deflate' }).toBuffer(),
    BMP: bmp({ width: 200, height: 150, bits: 24, data: pixels }),
    HEIC: sample('plain.heic'),
  };
  for (const [format, bytes] of Object.entries(whole)) {
    t.equal(await refusal(bytes), undefined, `${format} is whole`);
    for (const share of [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98]) {
      const error = await refusal(bytes.subarray(0, Math.floor(bytes.length * share)));
      t.ok(error instanceof PictureError, `${format}, ${100 * share} %: ${error?.message ?? 'read'}`);
      t.match(error?.code, /^(undecodable|unsupported)_picture$/, `${format}, ${100 * share} %`);
    }
  }
});

t.test('hostile files end in a picture or in a sentence, and cost no process', async (t) => {
  await read(png({ width: 16, height: 16 }));
  const pids = reader.status.pids;
  for (const [name, make] of Object.entries(await attacks())) {
    const error = await refusal(await make());
    t.ok(error === undefined || error instanceof PictureError, `${name}: ${error?.message ?? 'read'}`);
    t.match(error?.message ?? '', /^$|^The picture|^Decoding/, name);
  }
  t.equal(await refusal(png({ width: 16, height: 16 })), undefined, 'the next one is read');
  t.strictSame([reader.status.bytes, reader.status.waiting], [0, 0], 'nothing is counted any more');
  t.ok(
    pids.every((pid) => reader.status.pids.includes(pid)),
    'the process is the same',
  );
});

t.test('of metadata nothing is left for a library to unpack', async (t) => {
  for (const [name, make] of Object.entries(await attacks())) {
    if (!/zTXt|iTXt|iCCP|eXIf|APP1|comment|frames|EXIF/.test(name)) continue;
    let file: ReturnType<typeof readFile>;
    try {
      file = readFile(await make());
    } catch (error) {
      t.ok(error instanceof PictureError, name);
      continue;
    }
    t.ok(file!.essentials().length < 10_000, `${name}: ${file!.essentials().length} bytes`);
  }
});

t.test('a header that lies is found out, in all formats', async (t) => {
  const file = async (format: 'png' | 'jpeg' | 'webp' | 'gif') =>
    noise.clone().resize(64, 64).toFormat(format).toBuffer();
  const avif = await noise.clone().resize(64, 64).avif().toBuffer();
  avif.writeUInt32BE(32, avif.indexOf('ispe') + 8);
  const heic = sample('plain.heic');
  heic.writeUInt32BE(32, heic.indexOf('ispe') + 8);
  const webp = await file('webp');
  webp.writeUInt16LE(32, 26);
  const png = await file('png');
  png.writeUInt32BE(32, 16);
  const gif = await file('gif');
  gif.writeUInt16LE(32, 6);
  for (const [name, bytes] of Object.entries({ avif, heic, webp, png, gif })) {
    const error = await refusal(bytes);
    t.ok(error === undefined || error instanceof PictureError, `${name}: ${error?.message ?? 'read'}`);
  }
  // What says that it is small, and is not.
  const starter = reader.inspect(await file('jpeg'), 1_000_000);
  const lied = { ...starter, header: { ...starter.header, width: 1, height: 1 } as Header };
  t.ok(await reader.decode(lied, size, 'cover', [0, 0, 0]), 'the process reads the header itself');
});
