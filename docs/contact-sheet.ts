// npm run docs:sheet makes docs/contact-sheet.jpg through the HTTP API of a server that runs.
//   npm start                  in one terminal
//   npm run docs:sheet [url]   in another; url is http://127.0.0.1:8080 unless given

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const url = process.argv[2] ?? 'http://127.0.0.1:8080';
const cell = 192;
const gap = 6;
const labelHeight = 22;

interface Cell {
  readonly label: string;
  readonly picture: Buffer;
}

async function img2img(starter: Buffer, fields: Record<string, string | number>): Promise<Buffer> {
  const form = new FormData();
  form.append('image', new Blob([starter]), 'starter');
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  const response = await fetch(`${url}/img2img`, { method: 'POST', body: form });
  if (!response.ok) throw new Error(await response.text());
  return Buffer.from(await response.arrayBuffer());
}

/** A title over rows of labelled pictures. */
async function block(title: string, rows: readonly (readonly Cell[])[]): Promise<Buffer> {
  const columns = Math.max(...rows.map((row) => row.length));
  const width = gap + columns * (cell + gap);
  const rowHeight = cell + labelHeight + gap;
  const text = (x: number, y: number, size: number, content: string) =>
    `<text x="${x}" y="${y}" font-family="DejaVu Sans, sans-serif" font-size="${size}" fill="#222">${content}</text>`;
  const labels = rows.flatMap((row, y) =>
    row.map(({ label }, x) => text(gap + x * (cell + gap) + 2, 34 + y * rowHeight + cell + 16, 13, label)),
  );
  const height = 34 + rows.length * rowHeight + gap;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${text(gap + 2, 23, 16, title)}${labels.join('')}</svg>`;
  const pictures = rows.flatMap((row, y) =>
    row.map(async ({ picture }, x) => ({
      input: await sharp(picture).resize(cell, cell).toBuffer(),
      left: gap + x * (cell + gap),
      top: 34 + y * rowHeight,
    })),
  );
  return sharp({ create: { width, height, channels: 3, background: '#fff' } })
    .composite([...(await Promise.all(pictures)), { input: Buffer.from(svg), left: 0, top: 0 }])
    .png()
    .toBuffer();
}

const picture = (name: string) => readFile(fileURLToPath(new URL(`pictures/${name}`, import.meta.url)));
const starters = { photo: await picture('still-life.jpg'), drawing: await picture('cottage.png') };
const seed = 7;

const influences = [100, 75, 50, 25, 0];
const guidances = [3, 7, 10, 13];
const prompt = 'stained glass';
const influenceRows: Cell[][] = [];
for (const guidance of guidances) {
  const row: Cell[] = [];
  for (const influence of influences) {
    const made = await img2img(starters.photo, { prompt, influence, guidance, seed });
    row.push({ label: `influence ${influence}, guidance ${guidance}`, picture: made });
  }
  influenceRows.push(row);
}

const styles = [
  'flat vector',
  'ink drawing',
  'comic',
  'pastel',
  'neon',
  'pixel art',
  'stained glass',
  'art nouveau',
  'watercolor painting',
  'oil painting',
  'sepia',
  'blueprint',
  'woodcut',
  'charcoal',
  'mosaic',
  'low-poly',
  'photo',
];
const styleRows: Cell[][] = [];
for (const starter of Object.values(starters)) {
  const made: Cell[] = [{ label: 'starter', picture: starter }];
  for (const style of styles)
    made.push({ label: style, picture: await img2img(starter, { prompt: style, influence: 25, seed }) });
  for (let start = 0; start < made.length; start += 6) styleRows.push(made.slice(start, start + 6));
}

const words = ['dark', 'bright', 'vivid', 'muted', 'pink tones'];
const wordRows: Cell[][] = [[], []];
for (const word of words) {
  wordRows[0]!.push({ label: word, picture: await img2img(starters.drawing, { prompt: word, influence: 40, seed }) });
  const without = await img2img(starters.drawing, { negative_prompt: word, influence: 40, seed });
  wordRows[1]!.push({ label: `negative: ${word}`, picture: without });
}

const blocks = [
  await block(`prompt "${prompt}": influence by guidance, seed ${seed}`, influenceRows),
  await block(`one style each, influence 25, guidance 7.5, seed ${seed}`, styleRows),
  await block(`one word each, as prompt and as negative prompt, influence 40, guidance 7.5, seed ${seed}`, wordRows),
];
const sizes = await Promise.all(blocks.map((input) => sharp(input).metadata()));
const width = Math.max(...sizes.map((size) => size.width));
let top = 0;
const layers = blocks.map((input, i) => {
  const layer = { input, left: 0, top };
  top += sizes[i]!.height;
  return layer;
});
const target = fileURLToPath(new URL('contact-sheet.jpg', import.meta.url));
await sharp({ create: { width, height: top, channels: 3, background: '#fff' } })
  .composite(layers)
  .jpeg({ quality: 82 })
  .toFile(target);
console.log(target);
