import t from 'tap';
import type { GenerateMessage } from '../../src/engine/shared/messages.js';
import { Batch, type BatchDevice } from '../../src/engine/worker/batch.js';

interface State {
  readonly id: number;
  readonly shape: string;
  readonly rows: number;
  left: number;
}

/** "3 wide 2": steps, shape and rows of a request are in its prompt. */
const read = ({ request }: GenerateMessage) => {
  const [steps, shape = 'square', rows = 1] = request.prompt.split(' ');
  return { left: Number(steps), shape, rows: Number(rows) };
};

/** A device that only writes down what it is asked to do. */
function recorder({
  budget = 8,
  admits = () => true,
  isLost = () => false,
  mayHaveTurn = () => true,
  mayPrepare = () => true,
}: {
  budget?: number;
  admits?: (id: number) => boolean;
  isLost?: (id: number) => boolean;
  mayHaveTurn?: (shape: string) => boolean;
  mayPrepare?: (shape: string) => boolean;
} = {}) {
  const log: string[] = [];
  const device: BatchDevice<State> = {
    canAdmit: ({ id }) => admits(id),
    canPrepareTogether: (a, b) => read(a).shape === read(b).shape,
    prepare: async (messages) => {
      log.push(`prepare ${messages.map(({ id }) => id)}`);
      if (messages.some(({ request }) => request.prompt.startsWith('bad'))) throw new Error('bad prompt');
      return messages.map((message) => ({ id: message.id, ...read(message) }));
    },
    lost: ({ id }) => (isLost(id) ? new Error('its model has changed') : undefined),
    canShareCall: (a, b) => a.shape === b.shape,
    mayHaveTurn: ({ shape }) => mayHaveTurn(shape),
    mayPrepare: (message) => mayPrepare(read(message).shape),
    rowsOf: ({ rows }) => rows,
    rowBudget: () => budget,
    denoise: async (states) => {
      log.push(`denoise ${states.map(({ id }) => id)}`);
      for (const state of states) state.left--;
    },
    isDone: ({ left }) => left === 0,
    canDecodeTogether: (a, b) => a.shape === b.shape,
    finish: async (done) => {
      log.push(`finish ${done.map(({ id }) => id)}`);
    },
    failed: (id, error) => log.push(`failed ${id}: ${(error as Error).message}`),
    aborted: (id) => log.push(`aborted ${id}`),
  };
  return { log, batch: new Batch(device) };
}
const message = (id: number, prompt: string) =>
  ({ type: 'generate', id, model: 'm', request: { prompt } }) as unknown as GenerateMessage;

async function runToEnd(batch: Batch<State>): Promise<void> {
  for (let steps = 0; !batch.isIdle; steps++) {
    if (steps > 100) throw new Error('the batch does not end');
    await batch.step();
  }
}

t.test('requests join at any step, share calls, and leave when done', async (t) => {
  const { log, batch } = recorder();
  batch.add(message(1, '3'));
  await batch.step();
  batch.add(message(2, '1'));
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1', 'denoise 1', 'prepare 2', 'denoise 1,2', 'finish 2', 'denoise 1', 'finish 1']);
});

t.test('newcomers of one shape are prepared in one call, at most four, and leavers are decoded in one', async (t) => {
  const { log, batch } = recorder();
  for (let id = 1; id <= 5; id++) batch.add(message(id, '1'));
  batch.add(message(6, '1 wide'));
  await runToEnd(batch);
  t.strictSame(log, [
    'prepare 1,2,3,4',
    'denoise 1,2,3,4',
    'finish 1,2,3,4',
    'prepare 5',
    'denoise 5',
    'finish 5',
    'prepare 6',
    'denoise 6',
    'finish 6',
  ]);
});

t.test('the VAE runs at most once between two calls', async (t) => {
  const { log, batch } = recorder();
  for (const [id, prompt] of ['3', '2 wide', '1', '4 wide', '2'].entries()) {
    batch.add(message(id, prompt));
    await batch.step();
  }
  await runToEnd(batch);
  let vaeCalls = 0;
  let running = 0;
  for (const line of log) {
    if (line.startsWith('denoise')) vaeCalls = 0;
    else {
      vaeCalls++;
      if (running > 1) t.ok(vaeCalls <= 1, log.join(', '));
      running += line.startsWith('prepare') ? line.split(',').length : -line.split(',').length;
    }
  }
  t.equal(running, 0);
});

t.test('shapes that may not change the device wait for their turn, and have it when nobody else is left', async (t) => {
  const { log, batch } = recorder({ mayHaveTurn: (shape) => shape === 'wide' });
  batch.add(message(1, '2 square'));
  await batch.step();
  batch.add(message(2, '2 wide'));
  batch.add(message(3, '2 wide'));
  await runToEnd(batch);
  t.strictSame(log, [
    'prepare 1',
    'denoise 1',
    'prepare 2,3',
    'denoise 2,3',
    'denoise 2,3',
    'finish 2,3',
    'denoise 1',
    'finish 1',
  ]);
});

t.test('requests of a shape that has no turn are not prepared, and let those behind them pass', async (t) => {
  const may = new Set(['wide']);
  const { log, batch } = recorder({ mayPrepare: (shape) => may.has(shape) });
  batch.add(message(1, '1 square'));
  batch.add(message(2, '1 wide'));
  await batch.step();
  t.strictSame(log.splice(0), ['prepare 2', 'denoise 2']);
  await batch.step();
  await batch.step();
  t.strictSame(log.splice(0), ['finish 2'], 'it waits on');
  may.add('square');
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1', 'denoise 1', 'finish 1']);
});

t.test('a call takes no more rows than the budget, and those that are left out are next', async (t) => {
  const { log, batch } = recorder({ budget: 3 });
  batch.add(message(1, '2 square 2'));
  batch.add(message(2, '2 square 2'));
  batch.add(message(3, '1 square 1'));
  await runToEnd(batch);
  t.strictSame(log, [
    'prepare 1,2,3',
    'denoise 1,3',
    'finish 3',
    'denoise 2',
    'denoise 1',
    'finish 1',
    'denoise 2',
    'finish 2',
  ]);
});

t.test('a request with more rows than the budget runs all the same', async (t) => {
  const { log, batch } = recorder({ budget: 1 });
  batch.add(message(1, '1 square 2'));
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1', 'denoise 1', 'finish 1']);
});

t.test('shapes take turns', async (t) => {
  const { log, batch } = recorder();
  batch.add(message(1, '3'));
  batch.add(message(2, '2 wide'));
  await runToEnd(batch);
  t.strictSame(log, [
    'prepare 1',
    'denoise 1',
    'prepare 2',
    'denoise 1',
    'denoise 2',
    'denoise 1',
    'finish 1',
    'denoise 2',
    'finish 2',
  ]);
});

t.test('an abort takes effect at the next step, waiting or running', async (t) => {
  const { log, batch } = recorder();
  batch.add(message(1, '9'));
  batch.add(message(2, '9 wide'));
  batch.add(message(3, '1 tall'));
  await batch.step();
  batch.abort(1);
  batch.abort(2);
  batch.abort(77);
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1', 'denoise 1', 'aborted 2', 'aborted 1', 'prepare 3', 'denoise 3', 'finish 3']);
});

t.test('a bad request fails alone, and one without a step is finished', async (t) => {
  const { log, batch } = recorder();
  batch.add(message(1, 'bad'));
  batch.add(message(2, '0'));
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1,2', 'prepare 1', 'failed 1: bad prompt', 'prepare 2', 'finish 2']);
});

t.test('a request whose model has no room waits, and so do those behind it', async (t) => {
  let room = false;
  const { log, batch } = recorder({ admits: (id) => id !== 2 || room });
  batch.add(message(1, '2'));
  await batch.step();
  batch.add(message(2, '1 wide'));
  batch.add(message(3, '1'));
  await batch.step();
  t.strictSame(log, ['prepare 1', 'denoise 1', 'denoise 1']);
  room = true;
  await runToEnd(batch);
  t.strictSame(log.slice(3), ['finish 1', 'prepare 2', 'denoise 2', 'finish 2', 'prepare 3', 'denoise 3', 'finish 3']);
});

t.test('a request that cannot go on fails at the next step, and those beside it go on', async (t) => {
  const gone = new Set<number>();
  const { log, batch } = recorder({ isLost: (id) => gone.has(id) });
  batch.add(message(1, '2'));
  batch.add(message(2, '2'));
  await batch.step();
  gone.add(1);
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1,2', 'denoise 1,2', 'failed 1: its model has changed', 'denoise 2', 'finish 2']);
});
