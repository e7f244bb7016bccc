// npm run docs:sheet makes the documents' sheets of pictures through the HTTP API of a server that runs; with the sheet of generators
// also the pictures that the shipped generators name, beside their files.
//   npm start                                  in one terminal
//   npm run docs:sheet -- [SHEET…] [--url URL] in another: all sheets of sheetsOf, or those named; URL is http://127.0.0.1:8080 unless given

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp, { type OverlayOptions, type Sharp } from 'sharp';
import { exampleInfluence, exampleNegativePrompt, examplePrompt } from '../src/http/pictures/example.js';

interface Cell {
  readonly label: string;
  /** The starter itself where there are no fields. */
  readonly starter: Starter;
  readonly fields?: Readonly<Record<string, string | number>>;
}

/** Rows under a title; all cells have one size. */
interface Block {
  readonly title?: string;
  readonly rows: readonly (readonly Cell[])[];
}

interface Sheet {
  /** Pixels of a cell's side. */
  readonly cell: number;
  readonly blocks: readonly Block[];
}

const starters = { 'still life': 'still-life.jpg', cottage: 'cottage.png' } as const;
type Starter = keyof typeof starters;

const seed = 7;
const photo: Starter = 'still life';
const drawing: Starter = 'cottage';
const untouched = (starter: Starter): Cell => ({ label: 'starter', starter });
const made = (label: string, starter: Starter, fields: Cell['fields']): Cell => ({
  label,
  starter,
  fields: { ...fields },
});

/** In the order of how well they come out. */
const styles = [
  'comic',
  'flat vector',
  'ink drawing',
  'stained glass',
  'art nouveau',
  'neon',
  'sepia',
  'blueprint',
  'woodcut',
  'charcoal',
  'mosaic',
  'low-poly',
  'pastel',
  'photo',
  'oil painting',
  'watercolor painting',
  'pixel art',
];

const generators = ['paintbox-comic', 'paintbox-stained-glass', 'paintbox-ink', 'paintbox-risograph'];

const sheets: Readonly<Record<string, Sheet>> = {
  showcase: {
    cell: 168,
    blocks: [
      {
        title: 'A style, by its name',
        rows: [
          [
            untouched(drawing),
            made('comic', drawing, { prompt: 'comic', influence: 60 }),
            made('flat vector', drawing, { prompt: 'flat vector', influence: 60 }),
            made('ink drawing', drawing, { prompt: 'ink drawing', influence: 40 }),
            made('neon', drawing, { prompt: 'neon', influence: 25 }),
          ],
        ],
      },
      {
        title: 'Influence: how much of the starter stays (comic)',
        rows: [
          [0, 25, 50, 75, 100].map((influence) =>
            made(`influence ${influence}`, photo, { prompt: 'comic', influence, guidance: 5 }),
          ),
        ],
      },
      {
        title: 'Guidance: how loudly the prompt speaks (stained glass, influence 50)',
        rows: [
          [2, 4, 7, 10, 13].map((guidance) =>
            made(`guidance ${guidance}`, photo, { prompt: 'stained glass', influence: 50, guidance }),
          ),
        ],
      },
      {
        title: 'Negative prompts: what to move away from (influence 40)',
        rows: [
          ['none', 'bright', 'vivid', 'pink pastel', 'dark'].map((negative) =>
            made(negative === 'none' ? 'none' : `without ${negative}`, drawing, {
              influence: 40,
              ...(negative !== 'none' && { negative_prompt: negative }),
            }),
          ),
        ],
      },
      {
        title: 'Generators: a model with a way to use it (no prompt)',
        rows: [
          [untouched(photo), ...generators.map((model) => made(model.replace('paintbox-', ''), photo, { model }))],
        ],
      },
    ],
  },
  generators: {
    cell: 192,
    blocks: [
      {
        rows: [photo, drawing].map((starter) => [
          untouched(starter),
          ...generators.map((model) => made(model, starter, { model })),
        ]),
      },
    ],
  },
  // What is made before anything was changed: by the curl that a start prints, the console and the page.
  defaults: {
    cell: 168,
    blocks: [
      {
        rows: [
          made('the curl', drawing, { prompt: examplePrompt, influence: exampleInfluence }),
          made('the console', drawing, {
            prompt: examplePrompt,
            negative_prompt: exampleNegativePrompt,
            influence: exampleInfluence,
          }),
          made('the page', photo, { model: 'paintbox-lcm', prompt: examplePrompt, influence: exampleInfluence }),
        ].map((cell) => [
          { ...untouched(cell.starter), label: cell.label },
          ...[1, 2, 3, 4].map((seed) => ({ ...cell, label: `seed ${seed}`, fields: { ...cell.fields, seed } })),
        ]),
      },
    ],
  },
  styles: {
    cell: 128,
    blocks: [
      {
        rows: styles.map((prompt) =>
          [photo, drawing].flatMap((starter) => [
            { ...untouched(starter), label: prompt },
            ...[25, 50, 75].map((influence) => made(`influence ${influence}`, starter, { prompt, influence })),
          ]),
        ),
      },
    ],
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { url: { type: 'string', default: 'http://127.0.0.1:8080' } },
});
for (const name of positionals.length > 0 ? positionals : Object.keys(sheets)) {
  const sheet = sheets[name];
  if (!sheet) throw new Error(`there is no sheet ${name}; there are: ${Object.keys(sheets).join(', ')}`);
  const target = fileURLToPath(new URL(`${name}.jpg`, import.meta.url));
  await (await draw(sheet)).jpeg({ quality: 82, mozjpeg: true }).toFile(target);
  console.log(target);
  if (name === 'generators') await writeGeneratorPictures();
}

async function writeGeneratorPictures(): Promise<void> {
  for (const model of generators) {
    const target = fileURLToPath(new URL(`../models/${model}.webp`, import.meta.url));
    const picture = await pictureOf(made(model, drawing, { model }));
    await sharp(picture).resize(256, 256).webp({ quality: 80, effort: 6 }).toFile(target);
    console.log(target);
  }
}

async function pictureOf({ starter, fields }: Cell): Promise<Buffer> {
  const picture = await readFile(fileURLToPath(new URL(`pictures/${starters[starter]}`, import.meta.url)));
  if (!fields) return picture;
  const form = new FormData();
  form.append('image', new Blob([picture]), starters[starter]);
  for (const [name, value] of Object.entries({ seed, ...fields })) form.append(name, String(value));
  const response = await fetch(`${values.url}/img2img`, { method: 'POST', body: form });
  if (!response.ok) throw new Error(await response.text());
  return Buffer.from(await response.arrayBuffer());
}

async function draw({ cell, blocks }: Sheet): Promise<Sharp> {
  const gap = 6;
  const [titleHeight, labelHeight] = [30, 20];
  const width = gap + Math.max(...blocks.flatMap(({ rows }) => rows.map((row) => row.length))) * (cell + gap);
  const layers: OverlayOptions[] = [];
  const texts: string[] = [];
  const write = (x: number, y: number, size: number, content: string) =>
    texts.push(
      `<text x="${x}" y="${y}" font-family="DejaVu Sans, sans-serif" font-size="${size}" fill="#222">${content}</text>`,
    );
  let top = gap;
  for (const { title, rows } of blocks) {
    if (title) {
      write(gap, top + 18, 15, title);
      top += titleHeight;
    }
    for (const row of rows) {
      for (const [column, one] of row.entries()) {
        const left = gap + column * (cell + gap);
        layers.push({
          input: await sharp(await pictureOf(one))
            .resize(cell, cell)
            .toBuffer(),
          left,
          top,
        });
        // A letter is about 0.6 of the size wide: at most nine tenths of the cell, so that neighbours stay apart.
        const size = Math.min(12, (1.5 * cell) / one.label.length);
        write(left, top + cell + 14, size, one.label);
      }
      top += cell + labelHeight;
    }
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top}">${texts.join('')}</svg>`;
  return sharp({ create: { width, height: top, channels: 3, background: '#fff' } }).composite([
    ...layers,
    { input: Buffer.from(svg), left: 0, top: 0 },
  ]);
}
