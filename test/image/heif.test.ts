// What the header of a HEIF file costs to be read: as much as it has parts, however they point at each other.

import t from 'tap';
import { readHeif } from '../../src/image/shared/files/heif.js';
import { heif, ispe } from './files.js';

const manyTimes = Array.from({ length: 255 }, () => 1);
const times = (count: number, item: number) => Array.from({ length: count }, () => item);

/** A grid and a tile. @param tiles how often the grid names it @param grids as many boxes name tiles */
const grid = (tiles: number, grids = 1) =>
  heif({
    items: [
      { type: 'grid', data: Buffer.alloc(8), properties: [1] },
      { type: 'av01', data: Buffer.alloc(8), properties: manyTimes },
    ],
    properties: [ispe(64, 32)],
    references: Array.from({ length: grids }, () => ['dimg', 1, times(tiles, 2)] as const),
  });

t.test('a tile that is named many times is looked at once, and counts each time', (t) => {
  const bytes = grid(40_000);
  let reads = 0;
  const { readUInt32BE } = bytes;
  bytes.readUInt32BE = (at) => {
    reads++;
    return readUInt32BE.call(bytes, at);
  };
  const { held, width } = readHeif(bytes)!;
  t.equal(width, 64);
  t.equal(held, 40_000 * 64 * 32 * 18);
  t.ok(reads < 200, `${reads} reads`);
  t.end();
});

t.test('what has too many parts of any kind is refused', (t) => {
  const items = (count: number) =>
    Array.from({ length: count }, () => ({ type: 'av01', data: Buffer.alloc(0), properties: manyTimes }));
  const files: Readonly<Record<string, Buffer>> = {
    'references of one grid': grid(65_535),
    'references of many boxes': grid(30_000, 2),
    associations: heif({ items: items(197), properties: [ispe(64, 32)] }),
    properties: heif({ items: items(1), properties: times(50_001, 0).map(() => ispe(64, 32)) }),
  };
  for (const [name, bytes] of Object.entries(files)) {
    const refusal = { code: 'undecodable_picture', message: /more than 50000 parts; no more are read/ };
    t.throws(() => readHeif(bytes), refusal, name);
  }
  t.ok(readHeif(heif({ items: items(196), properties: [ispe(64, 32)] })), 'as many as there may be are read');
  t.end();
});
