import { setMaxListeners } from 'node:events';
import { cpSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { serialize } from 'node:v8';
import t, { type Test } from 'tap';
import {
  Engine,
  EngineError,
  type EngineSettings,
  type GenerateOptions,
  type Img2ImgRequest,
} from '../../src/engine/host/engine.js';
import { standIn } from '../stand-in/stand-in.js';

/** A GPU's cost of a UNet call by rows, in ms, stretched so that what the CPU takes for it hides behind. */
const gpu = { 1: 66.8, 2: 73.2, 4: 96, 8: 170, 16: 332.8 };
const side = 32;
const request = (seed: number, change: Partial<Img2ImgRequest> = {}): Img2ImgRequest => ({
  pixels: { data: new Uint8Array(side * side * 3).map((_, i) => (i * 7) % 256), width: side, height: side },
  prompt: 'comic',
  negativePrompt: '',
  strength: 0.6,
  guidanceScale: 5,
  steps: 10,
  scheduler: 'dpmpp_2m',
  seed,
  ...change,
});
const long = { steps: 150, strength: 1 };
const forever = new AbortController().signal;
setMaxListeners(0, forever);
const group = (engine: Engine, requests: readonly Img2ImgRequest[], options: Partial<GenerateOptions> = {}) =>
  engine.generate(
    requests.map((request) => ({ model: 'tiny', request })),
    { signal: forever, ...options },
  );
const one = async (engine: Engine, request: Img2ImgRequest, options: Partial<GenerateOptions> = {}) =>
  (await group(engine, [request], options))[0]!;

/** An engine with the small model of the reference numbers on a stand-in that costs what the CPU takes, ready. */
async function start(t: Test, settings: Partial<EngineSettings> = {}): Promise<Engine> {
  const engine = new Engine({
    modelsDir: 'test/reference',
    cacheDir: 'cache',
    devices: 'cpu',
    threads: 1,
    maxConcurrent: 1,
    maxQueue: 8,
    maxPictureBytes: 2 ** 29,
    stepTimeoutMs: 60_000,
    modelMemoryBytes: undefined,
    workerModule: standIn(),
    ...settings,
  });
  t.teardown(() => engine.close());
  const ready = new Promise((resolve) => engine.once('ready', resolve));
  engine.start();
  await ready;
  return engine;
}

const until = async (condition: () => boolean) => {
  while (!condition()) await sleep(1);
};

/** Numbers in [0, 1) that are the same each time. */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function randomRequests(count: number): Img2ImgRequest[] {
  const random = randoms(1);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  return Array.from({ length: count }, (_, seed) => {
    const [width, height] = pick([
      [32, 32],
      [32, 32],
      [64, 32],
      [16, 16],
    ]) as [number, number];
    const salt = Math.floor(random() * 256);
    return request(seed, {
      pixels: { data: new Uint8Array(width * height * 3).map((_, i) => (i * 31 + salt) % 256), width, height },
      prompt: pick(['red', 'a blue house', 'comic', '']),
      negativePrompt: pick(['', 'grey']),
      strength: pick([0, 0.3, 0.5, 0.75, 1]),
      guidanceScale: pick([1, 1, 3, 7.5]),
      steps: 2 + Math.floor(random() * 10),
      scheduler: pick(['ddim', 'euler', 'euler_karras', 'dpmpp_2m', 'dpmpp_2m_karras', 'lcm'] as const),
    });
  });
}

t.test(
  '200 random requests give the same bytes alone and in a random mix of arrivals, on one worker and on two',
  async (t) => {
    const requests = randomRequests(200);
    const alone = await start(t);
    const pictures: Buffer[] = [];
    for (const request of requests) pictures.push(Buffer.from((await one(alone, request)).pixels.data));
    await alone.close();
    for (const devices of ['cpu', 'cpu*2']) {
      const random = randoms(2);
      const engine = await start(t, { devices, maxConcurrent: 8, maxQueue: 200 });
      let shared = 0;
      engine.on('step', ({ rows }) => (shared += Number(rows > 2)));
      const mixed = await Promise.all(
        requests.map(async (request) => {
          await sleep(random() * 2000);
          return one(engine, request);
        }),
      );
      const differing = mixed.flatMap(({ pixels }, i) => (pictures[i]!.equals(pixels.data) ? [] : [i]));
      t.strictSame(differing, [], devices);
      t.ok(shared > 0, `${shared} calls were shared`);
      await engine.close();
    }
  },
);

t.test('picture i of n is the single picture at seed + i', async (t) => {
  const engine = await start(t, { maxConcurrent: 4 });
  const together = await group(engine, [request(7), request(8), request(9)]);
  for (const [i, { pixels }] of together.entries()) {
    t.strictSame(pixels.data, (await one(engine, request(7 + i))).pixels.data, `picture ${i}`);
  }
});

t.test(
  'the row budget is measured: several requests on what costs like a GPU, one on what costs like a CPU',
  async (t) => {
    const launchBound = await start(t, { maxConcurrent: undefined, workerModule: standIn({ callMs: gpu }) });
    const model = launchBound.model();
    const native = model.capacities?.find(({ width }) => width === model.size.native);
    t.equal(native?.maxRows, 8, JSON.stringify(native));
    t.equal(launchBound.status.slots, 4);
    const rows: number[] = [];
    launchBound.on('step', (step) => rows.push(step.rows));
    await Promise.all(Array.from({ length: 12 }, (_, i) => one(launchBound, request(i, { steps: 20 }))));
    t.equal(Math.max(...rows), 8);

    const flat = await start(t, {
      maxConcurrent: undefined,
      workerModule: standIn({ callMs: { 1: 100, 2: 200, 4: 400 } }),
    });
    t.equal(flat.model().capacities?.[0]?.maxRows, 1);
    t.equal(flat.status.slots, 1);
  },
);

t.test('an abort leaves the queue at once, and frees the rows at the next step, 8 of 8', async (t) => {
  const engine = await start(t, { workerModule: standIn({ callMs: { 1: 200, 2: 200 } }) });
  const cancelled: string[] = [];
  engine.on('cancelled', ({ phase, reason }) => cancelled.push(`${phase} ${reason}`));
  for (let i = 0; i < 8; i++) {
    const [running, queued] = [new AbortController(), new AbortController()];
    const first = one(engine, request(1, long), { signal: running.signal });
    const second = one(engine, request(1, long), { signal: queued.signal });
    await new Promise((resolve) => engine.once('step', resolve));
    t.match(engine.status, { inFlight: 1, queueDepth: 1 });
    queued.abort(new EngineError('cancelled', 'gone'));
    await t.rejects(second, { code: 'cancelled' });
    t.equal(engine.status.queueDepth, 0);
    let steps = 0;
    const count = () => steps++;
    engine.on('step', count);
    running.abort(new EngineError(i % 2 ? 'deadline_exceeded' : 'interrupted', 'late'));
    await t.rejects(first, { code: i % 2 ? 'deadline_exceeded' : 'interrupted' });
    await until(() => engine.status.inFlight === 0);
    engine.off('step', count);
    t.ok(steps <= 1, `${steps} steps after the abort`);
  }
  t.strictSame(cancelled.slice(0, 4), [
    'queued client_gone',
    'running explicit',
    'queued client_gone',
    'running deadline',
  ]);
});

t.test('the jobs of a request are admitted together, tell their progress, and end together', async (t) => {
  const engine = await start(t, { maxQueue: 4, workerModule: standIn({ callMs: { 1: 20, 2: 20 } }) });
  const failed = Promise.all(
    [1, 2].map((seed) => t.rejects(one(engine, request(seed, long)), { code: 'shutting_down' })),
  );
  const four = [1, 2, 3, 4].map((seed) => request(seed, long));
  await t.rejects(group(engine, four), { code: 'overloaded' });
  t.equal(engine.status.queueDepth, 1, 'none of them was taken');
  const controller = new AbortController();
  const progress: string[] = [];
  const three = group(engine, four.slice(1), {
    signal: controller.signal,
    onProgress: (told) =>
      progress.push(told.phase === 'queued' ? `queued ${told.position}` : `${told.job}: ${told.step}/${told.steps}`),
  });
  t.equal(engine.status.queueDepth, 4);
  controller.abort(new EngineError('cancelled', 'gone'));
  await t.rejects(three, { code: 'cancelled' });
  t.equal(engine.status.queueDepth, 1);
  t.strictSame(progress, ['queued 2']);
  await engine.close();
  await failed;

  const idle = await start(t, { maxConcurrent: 2 });
  progress.length = 0;
  await group(
    idle,
    [1, 2].map((seed) => request(seed, { steps: 2, strength: 1, scheduler: 'ddim' })),
    {
      onProgress: (told) =>
        progress.push(told.phase === 'queued' ? `queued ${told.position}` : `${told.job}: ${told.step}/${told.steps}`),
    },
  );
  t.strictSame([...progress].sort(), ['0: 1/2', '0: 2/2', '1: 1/2', '1: 2/2']);
});

t.test('a worker that ends is replaced, its requests run again, and the pictures are the same', async (t) => {
  const engine = await start(t, { maxConcurrent: 2, stepTimeoutMs: 2000 });
  const exits: string[] = [];
  engine.on('workerExit', ({ reason }) => exits.push(reason));
  const healthy = (await one(engine, request(1))).pixels.data;
  for (const [fault, reason] of [
    ['die', 'signal'],
    ['hang', 'hang'],
    ['oom', 'oom'],
    ['provider', 'execution_provider'],
  ] as const) {
    const [, beside] = await Promise.all([
      one(engine, request(2, { prompt: `[${fault}@2 once]`, steps: 20 })),
      one(engine, request(1)),
    ]);
    t.strictSame(beside.pixels.data, healthy, `beside ${fault}`);
    t.equal(exits.at(-1), reason);
  }
  t.equal(exits.length, 4);
  t.equal(engine.status.workers[0]!.restarts, 4);
});

/** A message as a worker frames it, in hex; for the stand-in to say. */
function framed(message: unknown): string {
  const body = serialize(message);
  const header = Buffer.alloc(4);
  header.writeUInt32LE(body.length);
  return Buffer.concat([header, body]).toString('hex');
}

t.test('a worker that says what no worker says is replaced, and nothing that it says ends this process', async (t) => {
  const engine = await start(t);
  const exits: string[] = [];
  engine.on('workerExit', ({ reason, cause }) => exits.push(`${reason}: ${cause}`));
  const healthy = (await one(engine, request(1))).pixels.data;
  const step = { type: 'step', model: 'tiny', pixels: 1024, rows: 2, ms: 1, changedShape: false };
  const pixels = { data: new Uint8Array(3), width: 1, height: 1 };
  const timings = { textEncode: 1, vaeEncode: 1, denoise: 1, vaeDecode: 1, safetyCheck: 1 };
  const droppedTokens = { prompt: 0, negativePrompt: 0 };
  const embeddings = { used: [], unfit: [] };
  const result = {
    pixels,
    drawUnseeded: false,
    droppedTokens,
    beyondClip: droppedTokens,
    embeddings,
    unetCalls: 1,
    unusedLoraKeys: 0,
    loraWay: 'none',
    modelLoadMs: 0,
    timings,
    modelRunMs: 1,
  };
  for (const [bytes, cause] of [
    [framed(null), /^protocol: its type is undefined$/],
    [framed({ ...step, ms: 'long' }), /^protocol: step has a bad ms: it must be number$/],
    [framed({ ...step, model: 'another' }), /^protocol: it ran a model that it does not have: "another"$/],
    ['ffffffff', /^protocol: a message of 4294967295 bytes begins; at most 335544320 are taken$/],
    ['04000000deadbeef', /^protocol: 4 bytes are no message: /],
  ] as const) {
    const ends = exits.length;
    const made = await one(engine, request(1, { prompt: `comic [say ${bytes}@2 once]` }));
    t.equal(made.pixels.width, side, 'the request runs again');
    t.equal(exits.length, ends + 1);
    t.match(exits.at(-1), cause);
  }
  const unknown = [999, 0].map((id) => framed({ type: 'aborted', id })).join('');
  t.ok(
    await one(engine, request(1, { prompt: `[say ${unknown}@2]` })),
    'of a request that nobody knows nothing is heard',
  );
  t.equal(exits.length, 5);

  const wrongSize = Array.from({ length: 60 }, (_, id) => framed({ type: 'done', id, result })).join('');
  await one(engine, request(1, { prompt: `[say ${wrongSize}@2 once]` }));
  t.match(exits.at(-1), /^protocol: it made a picture of 1 x 1 that nobody asked for$/);
  t.strictSame((await one(engine, request(1))).pixels.data, healthy);
});

t.test('what a folder says of itself is no fault of the worker', async (t) => {
  const dir = t.testdir();
  cpSync('test/reference/tiny', `${dir}/odd`, { recursive: true });
  const odd = { title: 'x'.repeat(150_000), defaults: { steps: 2.5, guidance: -3 } };
  writeFileSync(`${dir}/odd/img2img.json`, JSON.stringify(odd));
  const engine = await start(t, { modelsDir: dir });
  t.equal(engine.status.workers[0]!.restarts, 0);
  t.equal(engine.models[0]?.name, 'odd');
});

t.test(
  'a request that kills its workers runs alone the third time, is refused then, and costs the others nothing',
  async (t) => {
    const engine = await start(t, { maxConcurrent: 4 });
    const exits: number[] = [];
    const killers: string[] = [];
    engine.on('workerExit', ({ requests }) => exits.push(requests));
    engine.on('workerKiller', ({ model, deaths }) => killers.push(`${model} ${deaths}`));
    const killer = t.rejects(one(engine, request(1, { prompt: '[die@1]', steps: 20 })), {
      code: 'request_kills_worker',
    });
    const others = await Promise.all([2, 3].map((seed) => one(engine, request(seed, { steps: 20 }))));
    await killer;
    t.equal(others.length, 2);
    t.strictSame(exits, [3, 3, 1]);
    t.strictSame(killers, ['tiny 3']);
    t.ok((await one(engine, request(4))).unetCalls > 0, 'and the engine goes on');
  },
);

t.test('while one worker is down the others serve', async (t) => {
  const engine = await start(t, { devices: 'cpu*2', maxQueue: 50 });
  await until(() => engine.status.workers.every(({ up }) => up));
  const pictures = Array.from({ length: 20 }, (_, seed) => one(engine, request(seed)));
  process.kill(engine.status.workers[0]!.pid!, 'SIGKILL');
  const made = await Promise.all(pictures);
  t.ok(made.some(({ worker }) => worker === 1));
  t.equal(made.length, 20);
});

t.test('workers that never come to ready are given up', async (t) => {
  const engine = await start(t);
  const exited = () => new Promise((resolve) => engine.once('workerExit', resolve));
  for (let ends = 0; ends < 4; ends++) {
    const ended = exited();
    process.kill(engine.status.workers[0]!.pid!, 'SIGKILL');
    await ended;
    if (ends < 3)
      await until(() => engine.status.workers[0]!.pid !== undefined && isAlive(engine.status.workers[0]!.pid!));
  }
  await t.rejects(one(engine, request(1)), { code: 'not_ready', message: /No worker stays alive/ });
  t.equal(engine.status.ready, false);
  await new Promise((resolve) => engine.once('ready', resolve));
  t.ok((await one(engine, request(1))).unetCalls > 0, 'one that comes back is used again');
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

t.test('what cannot be is refused at once', async (t) => {
  const engine = await start(t, {
    maxQueue: 1,
    maxPictureBytes: 20_000,
    workerModule: standIn({ callMs: { 1: 50, 2: 50 }, memoryBytes: 1_000_000, bytesPerPixel: 200 }),
  });
  const soon = performance.now() + 1000;
  await t.rejects(one(engine, request(1, long), { deadline: soon }), { code: 'deadline_unattainable' });
  const large = { pixels: { data: new Uint8Array(64 * 64 * 3), width: 64, height: 64 } };
  await t.rejects(one(engine, request(1, large)), {
    code: 'too_large_for_device',
    message: /64 x 64 pixels need about 6 MiB/,
  });
  t.equal(engine.estimate([{ model: 'tiny', request: request(1) }]).memoryBytes, 200 * 32 * 32 * 2);

  const settled = Promise.allSettled([one(engine, request(1, long)), one(engine, request(2, long))]);
  t.throws(() => engine.assertRoom(), { code: 'overloaded', message: /The queue is full: 1 pictures wait already/ });
  await engine.close();
  await settled;

  const small = await start(t, { maxPictureBytes: 10_000, workerModule: standIn({ callMs: { 1: 20, 2: 20 } }) });
  const first = one(small, request(1));
  await t.rejects(one(small, request(2)), { code: 'overloaded', message: /would pass 10000/ });
  await first;
  t.ok(await one(small, request(2)), 'and is taken when there is room');
});

t.test('the expected wait is about the real one', async (t) => {
  const engine = await start(t, { maxQueue: 20, workerModule: standIn({ callMs: { 1: 30, 2: 30 } }) });
  await one(engine, request(1));
  const running = Promise.all(Array.from({ length: 6 }, (_, seed) => one(engine, request(seed, { steps: 20 }))));
  const { waitMs, durationMs } = engine.estimate([{ model: 'tiny', request: request(9) }]);
  const last = await one(engine, request(9));
  await running;
  t.ok(last.queueMs > waitMs / 3 && last.queueMs < waitMs * 3, `expected ${waitMs}, was ${last.queueMs}`);
  t.ok(durationMs > 0);
});

t.test('a short request does not wait for a long one, even on a worker that takes one at a time', async (t) => {
  const engine = await start(t, { workerModule: standIn({ callMs: { 1: 20, 2: 20 } }) });
  let longEnded = false;
  const slow = one(engine, request(1, long)).then(() => (longEnded = true));
  await new Promise((resolve) => engine.once('step', resolve));
  await one(engine, request(2, { steps: 4 }));
  t.notOk(longEnded);
  await slow;
});

t.test('models take turns in the memory that they may have', async (t) => {
  const dir = t.testdir({
    a: t.fixture('symlink', `${process.cwd()}/test/reference/tiny`),
    b: t.fixture('symlink', `${process.cwd()}/test/reference/tiny`),
  });
  const engine = await start(t, { modelsDir: dir, modelMemoryBytes: 1_200_000, maxConcurrent: 2 });
  const loads: string[] = [];
  engine.on('modelLoaded', ({ model, component }) => component === 'unet' && loads.push(model));
  const loaded = () => engine.models.filter((model) => model.runnable && model.loaded).map(({ name }) => name);
  t.strictSame(loaded(), ['a']);
  const run = (model: string, seed: number) =>
    engine.generate([{ model, request: request(seed) }], { signal: forever });
  await Promise.all([run('a', 1), run('b', 2), run('a', 3)]);
  await run('b', 4);
  t.strictSame(loaded(), ['b'], 'one at a time');
  await run('a', 5);
  t.strictSame(loaded(), ['a']);
  t.ok(loads.length >= 2, loads.join(', '));

  const roomy = await start(t, { modelsDir: dir });
  await roomy.generate([{ model: 'b', request: request(1) }], { signal: forever });
  t.strictSame(
    roomy.models.map((model) => model.runnable && model.loaded),
    [true, true],
    'both where there is room',
  );
});

t.test('the answer says what equality can be expected of', async (t) => {
  const engine = await start(t);
  const { fingerprint } = await one(engine, request(1));
  t.match(fingerprint, /^onnxruntime-1\.\d+\.\d+ cpu \S+ [0-9a-f]{16}$/);
});

t.test('a prompt that came before is a hit of the cache', async (t) => {
  const engine = await start(t);
  const counted = { hits: 0, misses: 0 };
  engine.on('promptCache', ({ hits, misses }) => {
    counted.hits += hits;
    counted.misses += misses;
  });
  for (let seed = 0; seed < 3; seed++) await one(engine, request(seed, { prompt: 'new', negativePrompt: 'words' }));
  t.strictSame(counted, { hits: 4, misses: 2 });
});

t.test('an empty folder of models is not ready, and says so', async (t) => {
  const engine = await start(t, { modelsDir: t.testdir({}) });
  t.match(engine.status, { ready: false, reason: /^MODELS_DIR .* holds no models\.$/ });
  t.throws(() => engine.model(), { code: 'not_ready' });
});

t.test('close refuses what waits and runs', async (t) => {
  const engine = await start(t);
  const both = [1, 2].map((seed) => one(engine, request(seed, long)));
  const refused = Promise.all(both.map((picture) => t.rejects(picture, { code: 'shutting_down' })));
  await engine.close();
  await refused;
});
