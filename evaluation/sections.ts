// What is measured, section by section.

import {
  brightness,
  chroma,
  colourGrid,
  correlation,
  distance,
  edgeDensity,
  mean,
  type Picture,
  towards,
} from '../test/picture-statistics.js';
import { classify, styleOf } from './classifier.js';
import { type Look, looks } from './looks.js';
import type { Fields } from './service.js';

export interface Starter {
  readonly number: number;
  /** What it shows, in words. */
  readonly content: string;
  readonly photographLike: boolean;
  readonly bytes: Buffer;
  readonly picture: Picture;
}
export type Simulated = (look: Look) => Promise<Picture[]>;
export type Repaint = (starter: Starter, fields: Fields) => Promise<Picture>;

/** How often, and how far on average, a change moved a statistic in the direction that was asked for. */
export interface Shift {
  readonly name: string;
  readonly pairs: number;
  readonly right: number;
  readonly from: number;
  readonly to: number;
}
export interface Recognised {
  share: number;
  pictures: number;
  /** The same of the starters, before anything was done to them. */
  ofStarters: number;
  styles: Record<string, { right: number; of: number; mistaken: string[] }>;
}
export interface Evaluation {
  autoencoder?: { pictures: number; mean: number; worst: number };
  style?: Recognised;
  /** Of photographs that no training saw, each in every style. */
  photographs?: Recognised;
  /** Of each measured look its mean on the starters, on results at influence 25 and 50, and on simulated pictures. */
  looks?: { look: Look; starters: number; at25: number; at50: number; simulated: number; pictures: number }[];
  composition?: { influence: number; layout: number; distance: number; pictures: number }[];
  colours?: Shift[];
  negatives?: Shift[];
  guidance?: { name: string; pictures: number; means: Record<string, number>; right: number }[];
  made?: string;
}

/** Phrases that name a style; the evaluation takes them in turn. */
export const phrases: Readonly<Record<string, readonly string[]>> = {
  photo: ['photo', 'realistic photo'],
  flat: ['flat vector', 'digital art, vector'],
  ink: ['ink drawing', 'pen and ink'],
  charcoal: ['charcoal', 'charcoal drawing'],
  comic: ['comic', 'comic book'],
  pastel: ['pastel', 'pastel drawing'],
  neon: ['neon', 'neon lights'],
  pixel: ['pixel art', '8-bit pixel art'],
  glass: ['stained glass', 'stained glass window'],
  mosaic: ['mosaic', 'mosaic tiles'],
  nouveau: ['art nouveau', 'art nouveau poster'],
  watercolour: ['watercolour', 'watercolor painting'],
  oil: ['oil painting', 'oil on canvas'],
  sepia: ['sepia', 'vintage photograph'],
  blueprint: ['blueprint', 'technical blueprint'],
  lowpoly: ['low-poly', 'low poly art'],
  woodcut: ['woodcut', 'woodcut print'],
};

const styles = Object.keys(phrases);

/** Directions in RGB. */
const tones: Readonly<Record<string, readonly [number, number, number]>> = {
  red: [1, -0.5, -0.5],
  orange: [0.8, 0, -0.8],
  yellow: [0.5, 0.5, -1],
  green: [-0.5, 1, -0.5],
  blue: [-0.6, -0.4, 1],
  purple: [0.4, -0.8, 0.4],
  pink: [0.8, -0.6, -0.2],
  teal: [-1, 0.5, 0.5],
  brown: [0.6, 0, -0.6],
};

type Statistic = (picture: Picture) => number | Promise<number>;

async function shift(
  name: string,
  statistic: Statistic,
  direction: 1 | -1,
  pairs: readonly (readonly [Promise<Picture>, Promise<Picture>])[],
): Promise<Shift> {
  const values: [number, number][] = [];
  for (const [before, after] of pairs) values.push([await statistic(await before), await statistic(await after)]);
  return {
    name,
    pairs: values.length,
    right: values.filter(([before, after]) => direction * (after - before) > 0).length,
    from: mean(values.map(([before]) => before)),
    to: mean(values.map(([, after]) => after)),
  };
}

/** Everything in turn, one request at a time. */
async function inTurn<T, R>(items: readonly T[], make: (item: T, i: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const [i, item] of items.entries()) results.push(await make(item, i));
  return results;
}

/** How often the judge sees in a result the style that was asked for, by style. */
async function recognised(
  cases: readonly { starter: Starter; style: string; phrase: number; withContent: boolean }[],
  repaint: Repaint,
): Promise<Recognised> {
  const results: Recognised['styles'] = {};
  let before = 0;
  await inTurn(cases, async ({ starter, style, phrase, withContent }) => {
    const words = phrases[style]![phrase]!;
    // Some prompts also say what the starter shows.
    const prompt = withContent ? `${starter.content}, ${words}` : words;
    if ((await styleOf(starter.picture)) === style) before++;
    const seen = await styleOf(await repaint(starter, { prompt }));
    results[style] ??= { right: 0, of: 0, mistaken: [] };
    const entry = results[style];
    entry.of++;
    if (seen === style) entry.right++;
    else entry.mistaken.push(seen);
  });
  const right = Object.values(results).reduce((sum, entry) => sum + entry.right, 0);
  return { share: right / cases.length, pictures: cases.length, ofStarters: before / cases.length, styles: results };
}

const psnr = (a: Picture, b: Picture) => -20 * Math.log10(distance(a, b));

export const sections = {
  async autoencoder(starters: readonly Starter[], repaint: Repaint) {
    const photographs = starters.filter(({ photographLike }) => photographLike);
    const values = await inTurn(photographs, async (starter) =>
      psnr(starter.picture, await repaint(starter, { influence: 100 })),
    );
    return { pictures: values.length, mean: mean(values), worst: Math.min(...values) };
  },

  style: (starters: readonly Starter[], repaint: Repaint) =>
    recognised(
      starters.map((starter, i) => {
        const turn = Math.floor(i / styles.length);
        return { starter, style: styles[i % styles.length]!, phrase: turn % 2, withContent: turn % 4 >= 2 };
      }),
      repaint,
    ),

  photographs: (_: readonly Starter[], repaint: Repaint, __: Simulated, photographs: readonly Starter[]) =>
    recognised(
      photographs.flatMap((starter, i) =>
        styles.map((style) => ({ starter, style, phrase: i % 2, withContent: false })),
      ),
      repaint,
    ),

  async looks(starters: readonly Starter[], repaint: Repaint, simulated: Simulated) {
    // The starters of which the simulated pictures were made, and as many photograph-like ones.
    const some = starters.slice(0, 12);
    return inTurn(Object.entries(looks) as [Look, (typeof looks)[Look]][], async ([look, { measure }]) => {
      const at = async (influence: number) =>
        mean(
          await inTurn(some, async (starter) =>
            measure(await repaint(starter, { prompt: phrases[look]![0]!, influence })),
          ),
        );
      return {
        look,
        starters: mean(some.map(({ picture }) => measure(picture))),
        at25: await at(25),
        at50: await at(50),
        simulated: mean((await simulated(look)).map(measure)),
        pictures: some.length,
      };
    });
  },

  async composition(starters: readonly Starter[], repaint: Repaint) {
    const some = starters.slice(0, 50);
    return inTurn([0, 25, 50, 75, 100], async (influence) => {
      const values = await inTurn(some, async (starter, i) => {
        const prompt = phrases[styles[i % styles.length]!]![0]!;
        const picture = await repaint(starter, { prompt, influence });
        const layout = correlation(colourGrid(picture, 16), colourGrid(starter.picture, 16));
        return { layout, distance: distance(picture, starter.picture) };
      });
      return {
        influence,
        layout: mean(values.map(({ layout }) => layout)),
        distance: mean(values.map((value) => value.distance)),
        pictures: values.length,
      };
    });
  },

  async colours(starters: readonly Starter[], repaint: Repaint) {
    const pairs = (number: number, prompt: string) =>
      inTurn(starters.slice(0, number), async (starter) => {
        const [before, after] = [repaint(starter, {}), repaint(starter, { prompt })];
        await Promise.all([before, after]);
        return [before, after] as const;
      });
    const results: Shift[] = [];
    for (const [tone, direction] of Object.entries(tones)) {
      const prompt = `${tone} tones`;
      results.push(await shift(prompt, (picture) => towards(picture, direction), 1, await pairs(12, prompt)));
    }
    for (const [prompt, statistic, direction] of [
      ['bright', brightness, 1],
      ['dark', brightness, -1],
      ['vivid', chroma, 1],
      ['muted', chroma, -1],
      ['highly detailed', edgeDensity, 1],
      ['black and white', chroma, -1],
    ] as const) {
      results.push(await shift(prompt, statistic, direction, await pairs(20, prompt)));
    }
    return results;
  },

  async negatives(starters: readonly Starter[], repaint: Repaint) {
    const pairs = (fields: Fields, negative: string) =>
      inTurn(starters.slice(0, 100), async (starter) => {
        const [before, after] = [repaint(starter, fields), repaint(starter, { ...fields, negative_prompt: negative })];
        await Promise.all([before, after]);
        return [before, after] as const;
      });
    const pink = (picture: Picture) => towards(picture, tones.pink!);
    const flat = async (picture: Picture) => (await classify(picture)).get('flat')!;
    const pastel = await pairs({ prompt: 'pastel', influence: 25 }, 'pink pastel');
    const vector = await pairs({ influence: 15, guidance: 9 }, 'digital art, vector');
    return [
      await shift('"pastel" without "pink pastel": pink', pink, -1, pastel),
      await shift('without "digital art, vector": log-probability of flat', flat, -1, vector),
      await shift('without "digital art, vector": edges', edgeDensity, 1, vector),
    ];
  },

  async guidance(starters: readonly Starter[], repaint: Repaint) {
    const cases: [prompt: string, statistic: (picture: Picture) => number, direction: 1 | -1, name: string][] = [
      ['dark', brightness, -1, 'brightness'],
      ['blue tones', (picture) => towards(picture, tones.blue!), 1, 'blue'],
      ['vivid', chroma, 1, 'chroma'],
      ['ink drawing', edgeDensity, 1, 'edges'],
    ];
    return inTurn(cases, async ([prompt, statistic, direction, name]) => {
      const rows = await inTurn(starters.slice(0, 25), (starter) =>
        inTurn([7, 10, 13], async (guidance) => statistic(await repaint(starter, { prompt, guidance, influence: 50 }))),
      );
      const means = Object.fromEntries([7, 10, 13].map((guidance, i) => [guidance, mean(rows.map((row) => row[i]!))]));
      const right = rows.filter((row) => direction * (row[2]! - row[0]!) > 0).length;
      return { name: `"${prompt}": ${name}`, pictures: rows.length, means, right };
    });
  },
};
