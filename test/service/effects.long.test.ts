// What a user asks for is visible: measured on the shipped model, through HTTP, on a photograph-like starter and a drawing.

import sharp from 'sharp';
import t from 'tap';
import {
  brightness,
  chroma,
  colourGrid,
  correlation,
  distance,
  edgeDensity,
  mean,
  type Picture,
  read,
  towards,
} from '../picture-statistics.js';
import { cottage, form, startApp, stillLife } from '../start.js';

const starters = { photo: stillLife, drawing: cottage };
const seed = 7;

/** What a prompt moves, in which direction and by how much at least. */
type Change = [prompt: string, statistic: (picture: Picture) => number, name: string, direction: 1 | -1, by: number];

const pink = [1, -0.6, 0.1] as const;
const blue = [-0.6, -0.2, 1] as const;
const brown = [1, 0.1, -1] as const;

t.test('the shipped model', async (t) => {
  const { url } = await startApp(t, { REQUEST_TIMEOUT_MS: '120000' });
  const make = async (starter: Buffer, fields: Record<string, string | number>): Promise<Picture> => {
    const response = await fetch(`${url}/img2img`, { method: 'POST', body: form(starter, fields) });
    if (response.status !== 200) throw new Error(await response.text());
    return read(Buffer.from(await response.arrayBuffer()));
  };
  // Each pair of pictures, of both starters, is made once.
  const made = new Map<string, Promise<Picture[]>>();
  const pictures = async (fields: Record<string, string | number>): Promise<Picture[]> => {
    const all: Picture[] = [];
    for (const starter of Object.values(starters)) all.push(await make(starter, { influence: 25, ...fields, seed }));
    return all;
  };
  /** The mean of a statistic over them. */
  const measure = async (statistic: (picture: Picture) => number, fields: Record<string, string | number>) => {
    const key = JSON.stringify(fields);
    if (!made.has(key)) made.set(key, pictures(fields));
    return mean((await made.get(key)!).map(statistic));
  };

  await t.test(
    'influence: the distance to the starter falls strictly, 100 is close to it, 0 keeps its colours',
    async (t) => {
      for (const [name, starter] of Object.entries(starters)) {
        const reference = await read(await sharp(starter).resize(256, 256).png().toBuffer());
        const made: Picture[] = [];
        for (const influence of [0, 25, 50, 75, 100]) {
          made.push(await make(starter, { prompt: 'watercolor painting', influence, seed }));
        }
        const distances = made.map((picture) => distance(picture, reference));
        const shown = distances.map((d) => d.toFixed(3)).join(' > ');
        t.comment(`${name}: root mean square distance at influence 0, 25, 50, 75, 100: ${shown}`);
        for (let i = 1; i < distances.length; i++) t.ok(distances[i]! < distances[i - 1]!, `${name}: ${shown}`);
        t.ok(distances.at(-1)! < 0.06, `${name}: close at 100`);
        const kept = correlation(colourGrid(made[0]!, 4), colourGrid(reference, 4));
        t.comment(
          `${name}: correlation of a 4 x 4 grid of colours with the starter's at influence 0: ${kept.toFixed(2)}`,
        );
        t.ok(kept > 0.3, `${name}: colours show at 0 (${kept.toFixed(2)})`);
      }
    },
  );

  await t.test('style, quality and colour words do what they say', async (t) => {
    const cases: Change[] = [
      ['ink drawing', chroma, 'chroma', -1, 0.1],
      ['sepia', (picture) => towards(picture, brown), 'brown', 1, 0.05],
      ['blueprint', (picture) => towards(picture, blue), 'blue', 1, 0.1],
      ['neon', brightness, 'brightness', -1, 0.1],
      ['pastel', chroma, 'chroma', -1, 0.05],
      ['stained glass', edgeDensity, 'edge density', 1, 0.012],
      ['woodcut', edgeDensity, 'edge density', 1, 0.02],
      ['black and white', chroma, 'chroma', -1, 0.1],
      ['dark', brightness, 'brightness', -1, 0.05],
      ['bright', brightness, 'brightness', 1, 0.05],
      ['vivid', chroma, 'chroma', 1, 0.05],
      ['pink tones', (picture) => towards(picture, pink), 'pink', 1, 0.05],
    ];
    for (const [prompt, statistic, name, direction, by] of cases) {
      const [without, asked] = [await measure(statistic, {}), await measure(statistic, { prompt })];
      const shown = `"${prompt}": ${name} ${without.toFixed(3)} -> ${asked.toFixed(3)}`;
      t.comment(shown);
      t.ok(direction * (asked - without) > by, shown);
    }
  });

  await t.test('the four-step variant does what the words say too', async (t) => {
    const model = 'paintbox-lcm';
    const dry = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, { model, dry_run: 'true' }) });
    t.match(await dry.json(), { parameters: { model, steps: 4, steps_run: 4, scheduler: 'lcm' } });
    const cases: Change[] = [
      ['ink drawing', chroma, 'chroma', -1, 0.1],
      ['blueprint', (picture) => towards(picture, blue), 'blue', 1, 0.1],
      ['neon', brightness, 'brightness', -1, 0.1],
      ['stained glass', edgeDensity, 'edge density', 1, 0.008],
      ['black and white', chroma, 'chroma', -1, 0.1],
      ['pink tones', (picture) => towards(picture, pink), 'pink', 1, 0.04],
    ];
    for (const [prompt, statistic, name, direction, by] of cases) {
      const [without, asked] = [await measure(statistic, { model }), await measure(statistic, { model, prompt })];
      const shown = `"${prompt}": ${name} ${without.toFixed(3)} -> ${asked.toFixed(3)}`;
      t.comment(shown);
      t.ok(direction * (asked - without) > by, shown);
    }
  });

  await t.test('guidance 3, 7, 10, 13 moves further along the prompt', async (t) => {
    const cases: [prompt: string, statistic: (picture: Picture) => number, name: string][] = [
      ['blueprint', (picture) => towards(picture, blue), 'blue'],
      ['pink tones', (picture) => towards(picture, pink), 'pink'],
      ['stained glass', edgeDensity, 'edge density'],
    ];
    for (const [prompt, statistic, name] of cases) {
      const values: number[] = [];
      for (const guidance of [3, 7, 10, 13]) values.push(await measure(statistic, { prompt, guidance, influence: 50 }));
      const shown = `"${prompt}", ${name}: ${values.map((value) => value.toFixed(3)).join(' < ')}`;
      t.comment(shown);
      for (let i = 1; i < values.length; i++) t.ok(values[i]! > values[i - 1]!, shown);
    }
  });

  await t.test('a negative prompt removes the quality that it names', async (t) => {
    const cases: [
      prompt: string,
      negative: string,
      statistic: (picture: Picture) => number,
      name: string,
      direction: 1 | -1,
      by: number,
    ][] = [
      ['', 'pink tones', (picture) => towards(picture, pink), 'pink', -1, 0.03],
      ['', 'dark', brightness, 'brightness', 1, 0.03],
      ['', 'vivid', chroma, 'chroma', -1, 0.03],
      ['pastel', 'pink pastel', (picture) => towards(picture, pink), 'pink', -1, 0.01],
    ];
    for (const [prompt, negative, statistic, name, direction, by] of cases) {
      const without = await measure(statistic, { prompt });
      const removed = await measure(statistic, { prompt, negative_prompt: negative });
      const shown = `"${prompt}" without "${negative}": ${name} ${without.toFixed(3)} -> ${removed.toFixed(3)}`;
      t.comment(shown);
      t.ok(direction * (removed - without) > by, shown);
    }
  });
});
