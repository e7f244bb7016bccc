import t from 'tap';
import { Batch, type BatchDevice } from '../../src/engine/batch.js';
import type { GenerateMessage } from '../../src/engine/messages.js';

interface State {
  readonly id: number;
  readonly shape: string;
  left: number;
}

/** A device that only writes down what it is asked to do. Steps and shape of a request are in its prompt: "3 wide". */
function recorder() {
  const log: string[] = [];
  const device: BatchDevice<State> = {
    prepare: async ({ id, request }) => {
      if (request.prompt === 'bad') throw new Error('bad prompt');
      log.push(`prepare ${id}`);
      const [steps, shape = 'square'] = request.prompt.split(' ');
      return { id, shape, left: Number(steps) };
    },
    canShareCall: (a, b) => a.shape === b.shape,
    denoise: async (states) => {
      log.push(`denoise ${states.map(({ id }) => id)}`);
      for (const state of states) state.left--;
    },
    isDone: ({ left }) => left === 0,
    finish: async (id) => {
      log.push(`finish ${id}`);
    },
    failed: (id, error) => log.push(`failed ${id}: ${(error as Error).message}`),
    aborted: (id) => log.push(`aborted ${id}`),
  };
  return { log, device };
}
const message = (id: number, prompt: string) =>
  ({ type: 'generate', id, model: 'm', request: { prompt } }) as unknown as GenerateMessage;

async function runToEnd(batch: Batch<State>): Promise<void> {
  for (let steps = 0; !batch.isIdle; steps++) {
    if (steps > 100) throw new Error('the batch does not end');
    await batch.step();
  }
}

t.test('with one slot requests run one after the other', async (t) => {
  const { log, device } = recorder();
  const batch = new Batch(device, 1);
  batch.add(message(1, '2'));
  batch.add(message(2, '1'));
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1', 'denoise 1', 'denoise 1', 'finish 1', 'prepare 2', 'denoise 2', 'finish 2']);
});

t.test('with more slots they join at any step, share calls, and leave when done', async (t) => {
  const { log, device } = recorder();
  const batch = new Batch(device, 2);
  batch.add(message(1, '3'));
  await batch.step();
  batch.add(message(2, '1'));
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1', 'denoise 1', 'prepare 2', 'denoise 1,2', 'finish 2', 'denoise 1', 'finish 1']);
});

t.test('other shapes wait for their turn', async (t) => {
  const { log, device } = recorder();
  const batch = new Batch(device, 2);
  batch.add(message(1, '2'));
  batch.add(message(2, '1 wide'));
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1', 'denoise 1', 'prepare 2', 'denoise 1', 'finish 1', 'denoise 2', 'finish 2']);
});

t.test('an abort takes effect at the next step, waiting or running', async (t) => {
  const { log, device } = recorder();
  const batch = new Batch(device, 1);
  batch.add(message(1, '9'));
  batch.add(message(2, '9'));
  batch.add(message(3, '1'));
  await batch.step();
  batch.abort(1);
  batch.abort(2);
  batch.abort(77);
  await runToEnd(batch);
  t.strictSame(log, ['prepare 1', 'denoise 1', 'aborted 2', 'aborted 1', 'prepare 3', 'denoise 3', 'finish 3']);
});

t.test('a request without a step is finished, a bad one fails alone', async (t) => {
  const { log, device } = recorder();
  const batch = new Batch(device, 1);
  batch.add(message(1, 'bad'));
  batch.add(message(2, '0'));
  await runToEnd(batch);
  t.strictSame(log, ['failed 1: bad prompt', 'prepare 2', 'finish 2']);
});
