import t from 'tap';
import { type CallCosts, CallShapes, type Size } from '../../src/engine/worker/call-shapes.js';

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
const rowsFor = (shapes: CallShapes, wanted: number, size: Size = square) =>
  shapes.next(session, size, wanted, costs).rows!;

t.test('where a change takes little, or was not measured, calls have the rows that there are', (t) => {
  for (const free of [undefined, { ...costs, changeMs: 30 }]) {
    const shapes = new CallShapes();
    for (const rows of [1, 7, 3]) {
      t.strictSame(shapes.next(session, square, rows, free), { rows: undefined, changes: false });
    }
    t.ok(shapes.mayHaveTurn(session, wide, free, () => true));
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
    t.strictSame(new CallShapes().next(session, square, wanted, costs), { rows, changes: true }, `${wanted} rows`);
  }
  t.end();
});

t.test('one more or one less changes nothing, and a crowd that lasts changes once', (t) => {
  const shapes = new CallShapes();
  t.equal(rowsFor(shapes, 2), 2);
  for (let call = 0; call < 40; call++) t.equal(rowsFor(shapes, 1 + (call % 2)), 2);
  const crowd = Array.from({ length: 40 }, () => shapes.next(session, square, 15, costs));
  t.equal(crowd[0]!.rows, 2);
  t.equal(crowd.at(-1)!.rows, 16);
  t.equal(crowd.filter(({ changes }) => changes).length, 1);
  t.end();
});

t.test('each session has its own shape', (t) => {
  const shapes = new CallShapes();
  t.equal(rowsFor(shapes, 16), 16);
  t.equal(shapes.next({}, square, 2, costs).rows, 2);
  t.equal(rowsFor(shapes, 16), 16);
  t.end();
});

t.test('a list of calls that became another one is a first call', (t) => {
  const shapes = new CallShapes();
  t.equal(rowsFor(shapes, 16), 16);
  const fewer = { ...costs, calls: costs.calls.slice(0, 3) };
  for (let call = 0; call < 3; call++) t.equal(shapes.next(session, square, 16, fewer).rows, 4);
  t.end();
});

/** What calls of all these rows take, changes included, and what they would take with the best number of rows that never changes. */
function paid(wanted: readonly number[]): { ms: number; best: number } {
  const shapes = new CallShapes();
  let ms = 0;
  for (const rows of wanted) {
    const { rows: perCall, changes } = shapes.next(session, square, rows, costs);
    ms += Math.ceil(rows / perCall!) * msOf(perCall!) + (changes ? costs.changeMs : 0);
  }
  const standing = costs.calls.map(
    (call) => costs.changeMs + wanted.reduce((sum, rows) => sum + Math.ceil(rows / call.rows) * call.ms, 0),
  );
  return { ms, best: Math.min(...standing) };
}

t.test('crowds of any kind cost at most twice what the best number of rows would that never changes', (t) => {
  let state = 1;
  const random = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  for (let trial = 0; trial < 300; trial++) {
    const crowd = 1 + Math.floor(16 * random());
    const alone = Math.floor(40 * random());
    const together = Math.floor(40 * random());
    const wanted = Array.from({ length: 400 }, (_, call) =>
      call % (alone + together + 1) < alone ? 1 : 1 + Math.floor(crowd * random()),
    );
    const { ms, best } = paid(wanted);
    t.ok(ms <= 2 * best + 2 * costs.changeMs, `${alone}, ${together} of up to ${crowd}: ${ms} ms, ${best} at best`);
  }
  const bursts = Array.from({ length: 400 }, (_, call) => (call % 18 < 13 ? 1 : 16));
  const { ms, best } = paid(bursts);
  t.ok(ms < 1.3 * best, `bursts: ${ms} ms, ${best} at best`);
  t.end();
});

t.test('sizes take turns that are longer than what changing between them takes', (t) => {
  const shapes = new CallShapes();
  const isWanted = () => true;
  const may = (size: Size, of: object = session) => shapes.mayHaveTurn(of, size, costs, isWanted);
  t.ok(may(square), 'before the first call');
  shapes.next(session, square, 2, costs);
  t.ok(may(square));
  t.notOk(may(wide));
  t.ok(may(wide, {}), 'another session');
  t.ok(
    shapes.mayHaveTurn(session, wide, costs, (size) => size.width === wide.width),
    'nobody uses the last size',
  );
  shapes.took(session, 4 * costs.changeMs);
  t.notOk(may(wide));
  shapes.took(session, costs.changeMs);
  t.ok(may(wide));
  shapes.next(session, wide, 2, costs);
  t.notOk(may(square), 'a turn of its own');
  t.end();
});
