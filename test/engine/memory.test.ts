// Which requests wait for memory that others use now, and which never get as much.

import t, { type Test } from 'tap';
import { Engine, type EngineError, type Job } from '../../src/engine/host/engine.js';
import type { Pool } from '../../src/engine/host/pool.js';
import { WorkerMemory } from '../../src/engine/host/worker-memory.js';
import type { FromWorker, ModelInfo, Result, ToWorker } from '../../src/engine/shared/messages.js';

/** A byte a pixel: sides say what a picture needs. */
const needs = [
  { pixels: 100, bytes: 100 },
  { pixels: 400, bytes: 400 },
];
const model = {
  ...{ name: 'tiny', runnable: true, loaded: true, digest: 'abc', memoryNeeds: needs, size: { native: 10 } },
  ...{ schedulerConfig: {}, rules: { schedule: 'part', guidance: 'prompts', masks: true } },
} as unknown as ModelInfo;

/** An engine whose worker is played by the test. */
function played(t: Test, free: number, maxConcurrent = 1) {
  const engine = new Engine({
    ...{
      modelsDir: '',
      cacheDir: '',
      devices: 'cpu',
      threads: 1,
      workerModule: undefined,
      modelMemoryBytes: undefined,
    },
    ...{ maxQueue: 10, maxPictureBytes: Number.MAX_SAFE_INTEGER, stepTimeoutMs: 1e6, maxConcurrent },
  });
  t.teardown(() => engine.close());
  const [lane] = (engine as unknown as { readonly pool: Pool }).pool.lanes;
  const { worker } = lane!;
  const running: number[] = [];
  worker.send = (message: ToWorker) => {
    if (message.type === 'generate') running.push(message.id);
  };
  const hear = (message: FromWorker) => (worker as unknown as { receive(said: unknown): void }).receive(message);
  const frees = (bytes: number) => hear({ type: 'memory', bytes: 1000, freeBytes: bytes });
  frees(free);
  hear({ type: 'ready' });
  lane!.models = [model];
  const ask = (side: number): Promise<unknown> => {
    const pixels = { data: new Uint8Array(3 * side * side), width: side, height: side };
    const request = { pixels, strength: 1, steps: 2, scheduler: 'ddim', guidanceScale: 1 };
    return engine
      .generate([{ model: 'tiny', request } as unknown as Job], { signal: new AbortController().signal })
      .then(
        () => 'made',
        (error: EngineError) => error.code,
      );
  };
  const done = (side: number) => {
    const pixels = { data: new Uint8Array(3 * side * side), width: side, height: side };
    const none = { prompt: 0, negativePrompt: 0 };
    const timings = { textEncode: 0, vaeEncode: 0, denoise: 0, vaeDecode: 0, safetyCheck: 0 };
    const result: Result = {
      ...{ pixels, timings, drawUnseeded: false, droppedTokens: none, beyondClip: none, unetCalls: 1 },
      ...{ embeddings: { used: [], unfit: [] }, unusedLoraKeys: 0, loraWay: 'none', modelLoadMs: 0, modelRunMs: 0 },
    };
    hear({ type: 'done', id: running.shift()!, result });
  };
  return { engine, ask, frees, done, running };
}

t.test('a request waits for the memory that another one uses, and what never fits is refused', async (t) => {
  for (const slots of [1, 2]) {
    const { engine, ask, frees, done, running } = played(t, 900, slots);
    const first = ask(25); // 625 of 810, and 400 that warm-up has left
    frees(200);
    const second = ask(25);
    t.equal(await ask(40), 'too_large_for_device', 'also while others wait');
    t.strictSame([running.length, engine.status.queueDepth], [1, 1], `${slots} slots`);
    done(25);
    t.equal(await first, 'made');
    t.strictSame([running.length, engine.status.queueDepth], [1, 0], 'what the first has left is for the second');
    done(25);
    t.equal(await second, 'made');
    const third = ask(25);
    t.equal(await ask(29), 'too_large_for_device', 'an arena that is kept is not twice there');
    t.equal(running.length, 1);
    done(25);
    t.equal(await third, 'made');
  }
});

t.test('where there is memory for two, the second does not wait', async (t) => {
  const { ask, frees, done, running } = played(t, 900, 2);
  const first = ask(20);
  frees(500);
  const second = ask(20);
  t.equal(running.length, 2);
  done(20);
  done(20);
  t.strictSame(await Promise.all([first, second]), ['made', 'made']);
});

t.test('what a worker has grown by is there for its next job, as far as its jobs needed it', async (t) => {
  const cases: [name: string, grown: number | undefined, free: number, room: number][] = [
    ['all of it stays', 5000, 4000, 3600 + 5000],
    ['a part was given back', 2000, 7000, 6300 + 500 + 2000],
    ['another model was loaded', 8000, 1000, 900 + 5000],
    ['nobody tells', undefined, 4000, 3600 + 5000],
    ['nothing stays', 0, 9000, 8100 + 500],
  ];
  for (const [name, grown, freeAfter, room] of cases) {
    let free = 9000;
    let growth = grown === undefined ? undefined : 0;
    const memory = new WorkerMemory(
      () => free,
      () => growth,
    );
    memory.began();
    free = freeAfter;
    growth = grown;
    t.equal(memory.whenIdle('a', 500), 8600, `${name}: as before, while it runs`);
    free = 20_000;
    t.equal(memory.whenIdle('a', 500), 18_500, `${name}: what others give back counts at once`);
    free = freeAfter;
    memory.ended('a', 5000, true);
    t.equal(memory.whenIdle('a', 500), room, name);
    t.equal(memory.whenIdle('b', 500), 0.9 * freeAfter + 500, 'another model has its own arenas');
    memory.forget('a');
    t.equal(memory.whenIdle('a', 500), 0.9 * freeAfter + 500, 'loaded again, it has new ones');
  }
});
