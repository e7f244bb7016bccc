import t from 'tap';
import { predictNeed } from '../../src/engine/host/memory.js';
import { StepTimes } from '../../src/engine/host/step-times.js';
import { timetable } from '../../src/engine/host/timetable.js';
import { rowBudgetFor } from '../../src/engine/shared/capacity.js';
import { isOutOfMemory } from '../../src/engine/shared/faults.js';
import { measureRowBudget } from '../../src/engine/worker/row-budget.js';
import { costOf } from '../stand-in/device.js';

t.test('the row budget ends where a row gets no cheaper', async (t) => {
  const gpu = { 1: 16.7, 2: 18.3, 4: 24.0, 8: 42.5, 16: 83.2, 32: 166 };
  for (const [name, table, expected] of [
    ['a launch-bound GPU', gpu, 8],
    ['a CPU', { 1: 100, 2: 200, 4: 400 }, 1],
    ['a CPU with noise', { 1: 100, 2: 189, 4: 400 }, 1],
    ['a gain up to two', { 1: 100, 2: 120, 4: 240 }, 2],
    ['a gain without end', { 1: 10, 2: 11, 4: 12, 8: 13, 16: 14, 32: 15 }, 32],
  ] as const) {
    const { maxRows } = await measureRowBudget(async (rows) => {
      const ms = costOf(table, rows);
      return { rows, ms, cost: ms };
    });
    t.equal(maxRows, expected, name);
  }
  const unaffordable = await measureRowBudget(async (rows) => (rows > 2 ? undefined : { rows, ms: 1, cost: 1 }));
  t.equal(unaffordable.maxRows, 2, 'what cannot be measured is not used');
});

t.test('a size that was not measured takes the budget of the next larger one', async (t) => {
  const capacity = (side: number, maxRows: number) => ({ width: side, height: side, maxRows, calls: [] });
  const measured = [capacity(512, 8), capacity(256, 16), capacity(1024, 2)];
  for (const [width, height, expected] of [
    [256, 256, 16],
    [320, 256, 8],
    [512, 512, 8],
    [768, 512, 2],
    [2048, 1024, 1],
    [4096, 4096, 1],
  ] as const) {
    t.equal(rowBudgetFor(measured, width, height), expected, `${width} x ${height}`);
  }
  t.equal(rowBudgetFor([], 512, 512), 1);
});

t.test('work takes the first slot that comes free', async (t) => {
  const starts = (workers: Parameters<typeof timetable>[0], works: number[]) =>
    timetable(workers, works).map(({ startMs }) => startMs);
  t.strictSame(starts([{ count: 1, remainingMs: [] }], [10, 10]), [0, 10]);
  t.strictSame(starts([{ count: 1, remainingMs: [5] }], [10, 10]), [5, 15]);
  t.strictSame(
    starts(
      [
        { count: 2, remainingMs: [5] },
        { count: 1, remainingMs: [3] },
      ],
      [10, 10, 10, 10],
    ),
    [0, 3, 5, 10],
  );
  t.strictSame(starts([{ count: 1, remainingMs: [5, 30] }], [10]), [30], 'a short one beside a long one frees no slot');
});

t.test('step times are learned, and carried over to calls like them', async (t) => {
  const times = new StepTimes();
  t.equal(times.callMs('m', 100, 1), undefined);
  times.warmedUp('m', [
    {
      width: 10,
      height: 10,
      maxRows: 2,
      calls: [
        { rows: 1, ms: 10 },
        { rows: 2, ms: 12 },
      ],
    },
  ]);
  t.equal(times.callMs('m', 100, 1), 10);
  t.equal(times.callMs('m', 100, 2), 12);
  t.equal(times.callMs('m', 200, 2), 24, 'twice the pixels');
  t.equal(times.callMs('m', 100, 4), 24, 'twice the rows');
  times.called('m', 100, 1, 20);
  t.equal(times.callMs('m', 100, 1), 11, 'a running mean');
  times.warmedUp('m', [{ width: 10, height: 10, maxRows: 2, calls: [{ rows: 1, ms: 99 }] }]);
  t.equal(times.callMs('m', 100, 1), 11, 'a restarted worker does not overwrite it');
  times.coded('m', 100, 7);
  t.equal(times.codecMs('m', 100), 7);
  t.equal(times.callMs('other', 100, 1), undefined);
});

t.test('a call at a size that was not seen is told by two that were', async (t) => {
  const told = (seen: [pixels: number, ms: number][], pixels: number) => {
    const times = new StepTimes();
    for (const [each, ms] of seen) times.called('m', each, 2, ms);
    return times.callMs('m', pixels, 2);
  };
  const line: [number, number][] = [
    [100, 50],
    [400, 80],
  ];
  t.equal(told(line, 1600), 200, 'larger: what every call costs counts once');
  t.equal(told(line, 200), 60, 'between them');
  t.equal(told(line, 50), 45, 'smaller');
  const steep: [number, number][] = [
    [100, 10],
    [400, 160],
  ];
  t.equal(told(steep, 50), 5, 'never less than nothing');
  const noisy: [number, number][] = [
    [100, 60],
    [400, 50],
  ];
  t.equal(told(noisy, 1600), 50, 'never less for more pixels');
});

t.test('memory grows with the pixels, and with their square where that was seen', async (t) => {
  t.equal(predictNeed([], 100), undefined);
  t.equal(predictNeed([{ pixels: 100, bytes: 50 }], 100), 50);
  t.equal(predictNeed([{ pixels: 100, bytes: 50 }], 200), 200, 'the worst, from one measurement');
  const linear = [
    { pixels: 100, bytes: 50 },
    { pixels: 400, bytes: 200 },
  ];
  t.equal(predictNeed(linear, 800), 400);
  const square = [
    { pixels: 100, bytes: 100 },
    { pixels: 200, bytes: 400 },
  ];
  t.equal(predictNeed(square, 400), 1600);
});

t.test("onnxruntime's and CUDA's words for too little memory are known", async (t) => {
  for (const text of [
    'Failed to allocate memory for requested buffer of size 1342177280',
    'std::bad_alloc',
    'CUDA failure 2: out of memory',
    'CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED',
  ]) {
    t.ok(isOutOfMemory(new Error(text)), text);
  }
  t.notOk(isOutOfMemory(new Error('Got invalid dimensions for input: sample')));
});
