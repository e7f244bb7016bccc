// The engine in virtual time: its own queue, pool, forecasts, batch and measure of the row budget. Modelled are the device, which
// takes the time that a curve of costs says, and the way between the processes, which takes none.

import { Engine, type Img2ImgRequest, type ModelInfo, type Result } from '../../src/engine/host/engine.js';
import type { Pool } from '../../src/engine/host/pool.js';
import { type Capacity, rowBudgetFor } from '../../src/engine/shared/capacity.js';
import type { FromWorker } from '../../src/engine/shared/messages.js';
import { Batch, type BatchDevice } from '../../src/engine/worker/batch.js';
import { measureRowBudget } from '../../src/engine/worker/row-budget.js';
import { type Costs, callCost } from './costs.js';
import { type Arrival, steps } from './trace.js';

const side = 512;
const pixels = { data: new Uint8Array(3 * side * side), width: side, height: side };

/** Who is on the device: an index among the arrivals, and what is left to do. */
interface OnDevice {
  readonly index: number;
  readonly rows: number;
  left: number;
}

/** @param batching false for MAX_CONCURRENT=1 @returns when each request is done, ms */
export async function runOurs(costs: Costs, arrivals: readonly Arrival[], batching = true): Promise<number[]> {
  const clock = { now: 0 };
  const realNow = performance.now;
  performance.now = () => clock.now;
  try {
    return await simulate(costs, arrivals, batching, clock);
  } finally {
    performance.now = realNow;
  }
}

async function simulate(
  costs: Costs,
  arrivals: readonly Arrival[],
  batching: boolean,
  clock: { now: number },
): Promise<number[]> {
  const done: number[] = [];
  let left = arrivals.length;
  let next = 0;
  const engine = new Engine({
    ...{
      modelsDir: '',
      cacheDir: '',
      devices: 'cpu',
      threads: 1,
      workerModule: undefined,
      modelMemoryBytes: undefined,
    },
    ...{ maxQueue: arrivals.length, maxPictureBytes: Number.MAX_SAFE_INTEGER, stepTimeoutMs: 1e9 },
    maxConcurrent: batching ? undefined : 1,
  });
  // The process behind the lane is never started: what it would be told goes to a batch here, and what that says comes back.
  const { worker } = (engine as unknown as { readonly pool: Pool }).pool.lanes[0]!;
  const say = (message: FromWorker) => (worker as unknown as { receive(said: unknown): void }).receive(message);
  worker.send = (message) => {
    if (message.type === 'generate') batch.add(message);
  };
  worker.freeMemoryBytes = Number.MAX_SAFE_INTEGER;

  const arriveUntil = (time: number) => {
    for (; next < arrivals.length && arrivals[next]!.at <= time; next++) {
      clock.now = Math.max(clock.now, arrivals[next]!.at);
      const job = { model: 'model', request: requestOf(arrivals[next]!, next) };
      engine.generate([job], { signal: new AbortController().signal });
    }
    clock.now = Math.max(clock.now, time);
  };
  const spend = (ms: number) => arriveUntil(clock.now + ms);

  const capacities = [await capacityOf(costs, batching)];
  const device: BatchDevice<OnDevice> = {
    canAdmit: () => true,
    canPrepareTogether: () => true,
    async prepare(messages) {
      spend(messages.length * costs.encodeMs);
      return messages.map(({ request: { seed: index } }) => {
        const { calls, rows } = arrivals[index]!;
        return { index, rows, left: calls };
      });
    },
    lost: () => undefined,
    mayHaveTurn: () => true,
    mayPrepare: () => true,
    canShareCall: () => true,
    rowsOf: ({ rows }) => rows,
    rowBudget: () => rowBudgetFor(capacities, side, side),
    async denoise(generations) {
      const rows = generations.reduce((sum, generation) => sum + generation.rows, 0);
      const ms = callCost(costs, rows);
      spend(ms);
      for (const generation of generations) generation.left--;
      say({ type: 'step', model: 'model', pixels: side * side, rows, ms, changedShape: false });
    },
    isDone: ({ left }) => left === 0,
    canDecodeTogether: () => true,
    async finish(finished) {
      spend(finished.length * costs.decodeMs);
      left -= finished.length;
      for (const { id, generation } of finished) {
        done[generation.index] = clock.now;
        say({ type: 'done', id, result: resultOf(costs) });
      }
    },
    failed: (_, error) => {
      throw error;
    },
    aborted: () => {},
  };
  const batch = new Batch(device);

  say({ type: 'models', models: [modelWith(capacities)], loras: [], problem: undefined, onnxruntime: 'none' });
  say({ type: 'ready' });
  while (left > 0) {
    if (batch.isIdle) arriveUntil(arrivals[next]!.at);
    await batch.step();
  }
  return done;
}

/** As the worker measures it at warm-up. */
async function capacityOf(costs: Costs, batching: boolean): Promise<Capacity> {
  const { maxRows, calls } = await measureRowBudget(async (rows) => {
    const ms = callCost(costs, rows);
    return { rows, ms, cost: ms };
  });
  return { width: side, height: side, maxRows: batching ? maxRows : undefined, calls };
}

/** @param index which the seed carries to the device */
function requestOf({ strength, rows }: Arrival, index: number): Img2ImgRequest {
  return {
    ...{ pixels, prompt: '', negativePrompt: '', strength, steps, scheduler: 'dpmpp_2m', seed: index },
    guidanceScale: rows === 2 ? 7.5 : 1,
  };
}

const nothingCut = { prompt: 0, negativePrompt: 0 };

function resultOf({ encodeMs, decodeMs }: Costs): Result {
  return {
    ...{ pixels, drawUnseeded: false, droppedTokens: nothingCut, beyondClip: nothingCut },
    ...{ embeddings: { used: [], unfit: [] }, unetCalls: 0, unusedLoraKeys: 0, loraWay: 'none', modelLoadMs: 0 },
    timings: { textEncode: 0, vaeEncode: encodeMs, denoise: 0, vaeDecode: decodeMs, safetyCheck: 0 },
    modelRunMs: 0,
  };
}

function modelWith(capacities: readonly Capacity[]): ModelInfo {
  return {
    ...{ name: 'model', title: '', description: '', kind: 'sd', exporter: '', precision: 'fp16', parts: [] },
    ...{ license: null, runnable: true, loaded: true },
    ...{
      digest: 'd',
      stamp: 's',
      size: { native: side, multiple: 8, min: side, max: side },
      loraFamily: null,
      capacities,
    },
    rules: { schedule: 'part', guidance: 'prompts', masks: true },
    safetyChecker: false,
    defaults: { steps, guidance: 7.5, scheduler: 'dpmpp_2m' },
    schedulerConfig: { num_train_timesteps: 100 }, // only the count of steps matters here
  };
}
