import t from 'tap';
import { costOf, faultAt } from './device.js';

t.test('the stand-in costs what its table says', async (t) => {
  const table = { 1: 10, 2: 12, 4: 20, 8: 40 };
  for (const [rows, ms] of [
    [1, 10],
    [2, 12],
    [3, 16],
    [4, 20],
    [6, 30],
    [16, 80],
  ] as const)
    t.equal(costOf(table, rows), ms, `${rows} rows`);
});

t.test('the stand-in fails when told', async (t) => {
  for (const [prompt, call, expected] of [
    ['a [hang@3] house', 3, { fault: 'hang', bytes: '', once: false }],
    ['a [hang@3] house', 2, undefined],
    ['[die@0 once]', 0, { fault: 'die', bytes: '', once: true }],
    ['[say 00ff@1]', 1, { fault: 'say', bytes: '00ff', once: false }],
    ['[explode@0]', 0, undefined],
  ] as const)
    t.strictSame(faultAt(prompt, call), expected, `${prompt} at ${call}`);
});
