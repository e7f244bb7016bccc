// npm run bench:codec [-- RUNS]: what uploads take until they are pixels, in the processes that decode them, and pixels until they are
// a file, each beside sharp alone in this process. Writes results-codec.md and .json. Run it on an idle machine.

import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import sharp, { type Sharp } from 'sharp';
import { defaultQuality, encode, type Format, formats } from '../src/image/encode.js';
import { PictureReader } from '../src/image/host/picture-reader.js';
import { median } from './figures.js';

const runs = Number(process.argv[2] ?? 20);
const warmUps = 2;
/** A large AVIF takes seconds: then there are fewer runs, but so many. */
const enough = { ms: 8000, runs: 5 };
const sides = [256, 512, 1024, 2048];
const photo = readFileSync(new URL('../docs/pictures/still-life.jpg', import.meta.url));
const reader = new PictureReader({ maxBytes: 1_610_612_736, timeoutMs: 120_000 });
const loadBefore = loadavg()[0]!;

/** As sharp writes it without being told more than the quality, and AVIF's effort: at its own of 4 that takes five times as long. */
function plain(image: Sharp, format: Format): Promise<Buffer> {
  const quality = defaultQuality[format];
  if (format === 'png') return image.png().toBuffer();
  return image.toFormat(format, format === 'avif' ? { quality, effort: 2 } : { quality }).toBuffer();
}

/** Medians of what is run in turns, so that what disturbs one disturbs the other too, ms. */
async function inTurns(...works: readonly (() => Promise<unknown>)[]): Promise<number[]> {
  const times: number[][] = works.map(() => []);
  const begin = performance.now();
  const isEnough = (i: number) => i >= warmUps + enough.runs && performance.now() - begin > enough.ms;
  for (let i = 0; i < warmUps + runs && !isEnough(i); i++) {
    for (const [k, work] of works.entries()) {
      const start = performance.now();
      await work();
      if (i >= warmUps) times[k]!.push(performance.now() - start);
    }
  }
  return times.map(median);
}

interface Row {
  readonly side: number;
  readonly format: Format;
  readonly uploadKb: number;
  readonly decodeMs: number;
  readonly sharpDecodeMs: number;
  readonly encodeMs: number;
  readonly sharpEncodeMs: number;
  readonly answerKb: number;
  readonly sharpAnswerKb: number;
}

async function measure(side: number, format: Format): Promise<Row> {
  const square = sharp(photo).resize(side, side, { fit: 'fill' });
  const upload = await plain(square.clone(), format);
  const data = await square.clone().removeAlpha().raw().toBuffer();
  const decode = async () => {
    const starter = reader.inspect(upload, 50_000_000);
    return reader.decode(starter, { width: side, height: side }, 'cover', [255, 255, 255]);
  };
  const sharpDecode = () => sharp(upload).toColourspace('srgb').removeAlpha().raw().toBuffer();
  const pixels = { data, width: side, height: side };
  const ours = () =>
    encode(pixels, { format, source: 'compositeWithTrainedAlgorithmicMedia', parameters: { seed: 1 } });
  const alone = () => plain(sharp(data, { raw: { width: side, height: side, channels: 3 } }), format);
  const [decodeMs, sharpDecodeMs] = (await inTurns(decode, sharpDecode)) as [number, number];
  const [encodeMs, sharpEncodeMs] = (await inTurns(ours, alone)) as [number, number];
  const [answerKb, sharpAnswerKb] = [(await ours()).length / 1000, (await alone()).length / 1000];
  const uploadKb = upload.length / 1000;
  return { side, format, uploadKb, decodeMs, sharpDecodeMs, encodeMs, sharpEncodeMs, answerKb, sharpAnswerKb };
}

const rows: Row[] = [];
for (const side of sides) {
  for (const format of formats) {
    rows.push(await measure(side, format));
    console.log(JSON.stringify(rows.at(-1)));
  }
}
await reader.close();

const ms = (value: number) => value.toFixed(value < 10 ? 1 : 0);
const ratio = (ours: number, theirs: number) => (ours / theirs).toFixed(2);
const lines = rows.map((row) => {
  const decoding = [ms(row.decodeMs), ms(row.sharpDecodeMs), ratio(row.decodeMs, row.sharpDecodeMs)];
  const encoding = [ms(row.encodeMs), ms(row.sharpEncodeMs), ratio(row.encodeMs, row.sharpEncodeMs)];
  const sizes = [row.answerKb.toFixed(0), row.sharpAnswerKb.toFixed(0)];
  return `| ${[`${row.side} x ${row.side}`, row.format, ...decoding, ...encoding, ...sizes].join(' | ')} |`;
});
const date = new Date().toISOString().slice(0, 10);
const machine = `${availableParallelism()} cores of ${cpus()[0]!.model.trim()}, Node ${process.versions.node}`;
const load = { before: loadBefore, after: loadavg()[0]! };
const text = `# Codec

\`npm run bench:codec\` on ${date}: ${machine}. Medians of ${runs} in turns, of fewer where they take over ${enough.ms / 1000} s, ms; sizes in kB. Load average ${load.before.toFixed(1)} before and ${load.after.toFixed(1)} after: where it is above the number of cores, other programs took time from both.

Uploads of a photo in the answer's size. Ours is decoded in a process of its own and its pixels come back through a pipe, which is where the difference lies: a picture that takes its decoder down, too long or too much memory costs nobody else's. sharp alone decodes in the same process.

Answers carry what marks them as made with a model.

sharp alone has its defaults at our quality, but for AVIF's effort of 2, which is ours: at its own of 4 it takes five times as long. Ours writes PNG with filters and less packing.

| size | format | upload to pixels | sharp alone | ratio | pixels to file | sharp alone | ratio | file, kB | sharp's, kB |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
${lines.join('\n')}
`;
writeFileSync(new URL('results-codec.md', import.meta.url), text);
const results = JSON.stringify({ date, machine, runs, load, rows }, null, 2);
writeFileSync(new URL('results-codec.json', import.meta.url), `${results}\n`);
console.log(text);
