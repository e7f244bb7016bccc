// The measures of the look, on the pictures that they were made for: simulated ones, and the drawings that those were made of.

import { readdir, readFile } from 'node:fs/promises';
import sharp from 'sharp';
import t from 'tap';
import { type Look, looks } from '../../evaluation/looks.js';
import { mean, type Picture, read } from '../picture-statistics.js';

const folder = (name: string) => new URL(`../../evaluation/${name}/`, import.meta.url);
const simulated = await Promise.all(
  (await readdir(folder('simulated'))).map(async (file) => {
    const [style, number] = file.replace('.webp', '').split('-') as [Look, string];
    return { style, number, picture: await read(await readFile(new URL(file, folder('simulated')))) };
  }),
);
const numbers = [...new Set(simulated.map(({ number }) => number))];
const drawings = await Promise.all(numbers.map((number) => readFile(new URL(`${number}.webp`, folder('starters')))));
const untouched = await Promise.all(drawings.map(read));
const smears = await Promise.all(drawings.map(async (drawing) => read(await sharp(drawing).blur(4).png().toBuffer())));

/** What a simulated look reaches at least on average, and what the drawings stay below. */
const bounds: Readonly<Record<Look, readonly [high: number, low: number]>> = {
  pixel: [0.9, 0.2],
  watercolour: [0.5, 0.05],
  oil: [0.8, 0.15],
  photo: [0.5, 0.3],
};

for (const [look, { name, measure }] of Object.entries(looks) as [Look, (typeof looks)[Look]][]) {
  t.test(`${name}: high in simulated ${look}, low in the drawing and in the other looks`, async (t) => {
    const of = (style: Look) => mean(simulated.filter((s) => s.style === style).map(({ picture }) => measure(picture)));
    const [high, low] = bounds[look];
    const own = of(look);
    t.ok(own > high, `simulated ${own}`);
    const drawn = mean(untouched.map(measure));
    t.ok(drawn < low, `untouched ${drawn}`);
    for (const other of Object.keys(looks) as Look[]) {
      if (other !== look) t.ok(of(other) < own, `simulated ${other} ${of(other)}`);
    }
  });

  t.test(`${name}: nothing in an even picture, and little in a smear`, async (t) => {
    const [width, height] = [64, 64];
    const even: Picture = { data: new Uint8Array(width * height * 3).fill(120), width, height };
    t.equal(measure(even), 0);
    const [high] = bounds[look];
    const most = mean(smears.map(measure));
    t.ok(most < high / 2, `smeared ${most}`);
  });
}
