import t from 'tap';
import { type CallCosts, CallShapes } from '../../src/engine/worker/call-shapes.js';

/** Measured on an H200, Stable Diffusion 1.5 at 512 x 512 (bench/results-gpu.md). */
const costs: CallCosts = {
  changeMs: 650,
  calls: [
    { rows: 1, ms: 12.85 },
    { rows: 2, ms: 17.95 },
    { rows: 4, ms: 23.05 },
    { rows: 8, ms: 37.39 },
    { rows: 16, ms: 64.79 },
  ],
};
const session = {};
const square = { width: 512, height: 512 };
const wide = { width: 768, height: 512 };
const msOf = (rows: number) => costs.calls.find((call) => call.rows === rows)!.ms;

t.test('where a change takes no longer than a call, or was not measured, calls have the rows that there are', (t) => {
  for (const free of [undefined, { ...costs, changeMs: 12 }]) {
    const shapes = new CallShapes();
    for (const rows of [1, 7, 3]) t.equal(shapes.rowsFor(session, square, rows, free), undefined);
    t.ok(shapes.mayHaveTurn(session, wide, free));
  }
  t.end();
});

t.test('the first call of a size has the rows that are cheapest for what it runs', (t) => {
  for (const [wanted, rows] of [
    [1, 1],
    [2, 2],
    [3, 4],
    [5, 8],
    [9, 16],
    [16, 16],
    [40, 8], // five calls of 8 take less than three of 16
  ] as const) {
    t.equal(new CallShapes().rowsFor(session, square, wanted, costs), rows, `${wanted} rows`);
  }
  t.end();
});

t.test('one more or one less changes nothing, and a crowd that lasts changes once', (t) => {
  const shapes = new CallShapes();
  t.equal(shapes.rowsFor(session, square, 2, costs), 2);
  for (let call = 0; call < 40; call++) t.equal(shapes.rowsFor(session, square, 1 + (call % 3), costs), 2);
  const crowd = Array.from({ length: 40 }, () => shapes.rowsFor(session, square, 15, costs));
  t.same(new Set(crowd.slice(0, 5)), new Set([2]));
  t.same(new Set(crowd.slice(10)), new Set([16]));
  t.end();
});

t.test('a request beside other sessions does not change their shapes', (t) => {
  const shapes = new CallShapes();
  t.equal(shapes.rowsFor(session, square, 16, costs), 16);
  t.equal(shapes.rowsFor({}, square, 2, costs), 2);
  t.equal(shapes.rowsFor(session, square, 16, costs), 16);
  t.end();
});

t.test('what is paid is at most twice the best of all numbers of rows that never change, and one change more', (t) => {
  let state = 1;
  const random = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  for (let trial = 0; trial < 200; trial++) {
    const shapes = new CallShapes();
    const crowd = 1 + Math.floor(16 * random());
    const wanted = Array.from({ length: 300 }, () => 1 + Math.floor(crowd * random()));
    let [paid, before] = [0, 0];
    for (const rows of wanted) {
      const perCall = shapes.rowsFor(session, square, rows, costs)!;
      paid += Math.ceil(rows / perCall) * msOf(perCall) + (perCall === before ? 0 : costs.changeMs);
      before = perCall;
    }
    const standing = costs.calls.map(
      (call) => costs.changeMs + wanted.reduce((sum, rows) => sum + Math.ceil(rows / call.rows) * call.ms, 0),
    );
    t.ok(paid <= 2 * Math.min(...standing) + costs.changeMs, `${crowd}: ${paid} ms, ${Math.min(...standing)} at best`);
  }
  t.end();
});

t.test('sizes take turns that are longer than what changing between them takes', (t) => {
  let now = 0;
  const shapes = new CallShapes(() => now);
  t.ok(shapes.mayHaveTurn(session, square, costs), 'before the first call');
  shapes.rowsFor(session, square, 2, costs);
  t.ok(shapes.mayHaveTurn(session, square, costs));
  t.notOk(shapes.mayHaveTurn(session, wide, costs));
  t.ok(shapes.mayHaveTurn({}, wide, costs), 'another session');
  now = 4 * costs.changeMs;
  t.ok(shapes.mayHaveTurn(session, wide, costs));
  shapes.rowsFor(session, wide, 2, costs);
  t.notOk(shapes.mayHaveTurn(session, square, costs), 'the turn begins anew');
  t.end();
});
