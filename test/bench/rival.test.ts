// The simulated rival keeps its rule, and the simulated engine is the engine.

import t from 'tap';
import type { Costs } from '../../bench/rival/costs.js';
import { runOurs } from '../../bench/rival/ours.js';
import { runRival } from '../../bench/rival/rival.js';
import { type Arrival, aloneMs, atRate, plainCapacity, trace } from '../../bench/rival/trace.js';

const flat: Costs = { name: 'flat', callMs: { 1: 10, 2: 20 }, encodeMs: 5, decodeMs: 10 };
/** A second row is free, and so is a third; with five a row gets no cheaper. */
const wide: Costs = { name: 'wide', callMs: { 1: 10, 2: 10, 4: 10, 8: 20 }, encodeMs: 0, decodeMs: 0 };

const arrival = (at: number, calls: number, rows: 1 | 2): Arrival => ({
  at,
  calls,
  rows,
  strength: (calls + 0.5) / 20,
});

t.test('the rival', async (t) => {
  for (const [name, arrivals, most, expected] of [
    ['takes one at a time', [arrival(0, 2, 1), arrival(0, 2, 1)], 1, [20, 40]],
    ['shares steps', [arrival(0, 2, 1), arrival(0, 3, 1)], 2, [20, 30]],
    ['lets a newcomer join between steps', [arrival(0, 3, 1), arrival(5, 2, 1)], 2, [30, 30]],
    ['waits at its maximum', [arrival(0, 1, 1), arrival(0, 1, 1), arrival(0, 1, 1)], 2, [10, 10, 20]],
    ['keeps guidance apart', [arrival(0, 2, 1), arrival(0, 2, 2)], 2, [20, 40]],
    ['is held up by the head', [arrival(0, 2, 1), arrival(0, 2, 2), arrival(0, 2, 1)], 4, [20, 40, 60]],
    ['rests without requests', [arrival(0, 1, 1), arrival(100, 1, 1)], 4, [10, 110]],
  ] as const)
    t.strictSame(runRival(wide, arrivals, most), expected, name);
  t.strictSame(runRival(flat, [arrival(0, 2, 1), arrival(0, 2, 1)], 2), [60, 70], 'the VAE runs per request');
});

t.test('the engine', async (t) => {
  for (const [name, costs, arrivals, expected] of [
    ['runs one alone', flat, [arrival(0, 12, 2)], [255]],
    ['shares no call where that gains nothing', flat, [arrival(0, 2, 1), arrival(0, 2, 1)], [35, 70]],
    ['shares calls of any guidance', wide, [arrival(0, 2, 1), arrival(0, 2, 2)], [20, 20]],
    ['is not held up by a head', wide, [arrival(0, 2, 1), arrival(0, 2, 2), arrival(0, 2, 1)], [20, 20, 20]],
    ['lets a newcomer join between steps', wide, [arrival(0, 3, 1), arrival(5, 2, 2)], [30, 30]],
  ] as const)
    t.strictSame(await runOurs(costs, arrivals), expected, name);
});

t.test('on a trace', async (t) => {
  const arrivals = trace(200, 1);
  const coming = atRate(arrivals, 0.9 * plainCapacity(flat, arrivals));
  const fifo = runRival(flat, coming, 1);
  t.ok(Math.abs(aloneMs(flat, coming[0]!) - (fifo[0]! - coming[0]!.at)) < 1e-6, 'the first one runs alone');
  const ours = await runOurs(flat, coming);
  t.ok(
    ours.every((time, i) => Math.abs(time - fifo[i]!) < 1e-6),
    'without a gain the engine takes one after the other, in their order',
  );
  const kinds = new Set(arrivals.map(({ rows }) => rows));
  t.strictSame([...kinds].sort(), [1, 2]);
  t.ok(arrivals.every(({ strength, calls }) => strength >= 0.3 && strength < 0.9 && calls >= 6 && calls <= 17));
});
