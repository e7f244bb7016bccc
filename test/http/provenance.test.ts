import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import t from 'tap';
import { missing } from '../programs.js';
import { cottage, form, startApp } from '../start.js';

const skip = missing({ program: 'exiftool', package: 'libimage-exiftool-perl' });
const quick = { steps: 2, width: 128, height: 128, seed: 1, prompt: 'ink drawing' };

t.test('exiftool finds the mark in every format, and nothing of the upload', { skip }, async (t) => {
  const { url } = await startApp(t);
  const folder = t.testdir();
  const tags = (path: string) =>
    JSON.parse(execFileSync('exiftool', ['-json', '-G1', '-struct', path], { encoding: 'utf8' }))[0] as Record<
      string,
      string
    >;

  // An upload that says who made it, where, and with what.
  const upload = join(folder, 'upload.jpg');
  writeFileSync(upload, await sharp(cottage).flatten().jpeg().toBuffer());
  const told = [
    '-Artist=Somebody Private',
    '-GPSLatitude=48.8583',
    '-GPSLatitudeRef=N',
    '-XMP:Creator=Somebody Private',
  ];
  execFileSync('exiftool', ['-q', '-overwrite_original', ...told, '-Comment=Somebody Private', upload]);
  t.match(JSON.stringify(tags(upload)), /Somebody Private.*GPS/s);
  const bytes = readFileSync(upload);

  for (const [format, extension] of [
    ['png', 'png'],
    ['jpeg', 'jpg'],
    ['webp', 'webp'],
    ['avif', 'avif'],
  ]) {
    for (const [strength, source] of [
      [0.5, 'compositeWithTrainedAlgorithmicMedia'],
      [1, 'trainedAlgorithmicMedia'],
    ] as const) {
      const response = await fetch(`${url}/img2img`, {
        method: 'POST',
        body: form(bytes, { ...quick, format: format!, strength, embed_parameters: 'true' }),
      });
      const path = join(folder, `${strength}.${extension}`);
      writeFileSync(path, Buffer.from(await response.arrayBuffer()));
      const found = tags(path);
      const name = `${format} at strength ${strength}`;
      t.match(found['XMP-iptcExt:DigitalSourceType'], new RegExp(`/${source}$`), name);
      t.match(JSON.parse(found['XMP-img2img:Parameters']!), { prompt: 'ink drawing', seed: 1, strength }, name);
      t.notMatch(JSON.stringify(found), /Somebody|GPS|Artist/, `${name}: nothing of the upload`);
    }
  }
});
