import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Engine, EngineError, type EngineSettings, type Img2ImgRequest } from '../../src/engine/engine.js';

const size = 128;
const request = (seed: number, change: Partial<Img2ImgRequest> = {}): Img2ImgRequest => ({
  pixels: { data: new Uint8Array(size * size * 3).map((_, i) => (i * 7) % 256), width: size, height: size },
  prompt: 'comic',
  negativePrompt: '',
  strength: 0.6,
  guidanceScale: 5,
  steps: 10,
  scheduler: 'dpmpp_2m',
  seed,
  ...change,
});
const forever = new AbortController().signal;
const one = async (engine: Engine, request: Img2ImgRequest, signal = forever) =>
  (await engine.generate([{ model: 'paintbox', request }], { signal }))[0]!;

async function start(t: Test, settings: Partial<EngineSettings> = {}): Promise<Engine> {
  const engine = new Engine({
    modelsDir: 'models',
    cacheDir: 'cache',
    devices: 'cpu',
    threads: 1,
    maxConcurrent: 1,
    maxQueue: 8,
    ...settings,
  });
  t.teardown(() => engine.close());
  const ready = new Promise((resolve) => engine.once('ready', resolve));
  engine.start();
  await ready;
  return engine;
}

t.test('a request gives the same bytes alone, beside others on one worker, and on two workers', async (t) => {
  const requests = [1, 2, 3, 4].map((seed) => request(seed, { steps: 5 * seed, guidanceScale: seed % 2 ? 1 : 7 }));
  const pictures = async (settings: Partial<EngineSettings>) => {
    const engine = await start(t, settings);
    const results = await Promise.all(requests.map((request) => one(engine, request)));
    await engine.close();
    return results.map(({ pixels }) => pixels.data);
  };
  const alone = await pictures({});
  t.strictSame(await pictures({ maxConcurrent: 4 }), alone, 'four at a time on one worker');
  t.strictSame(await pictures({ devices: 'cpu*2' }), alone, 'two workers');
});

t.test('with maxConcurrent 2 two requests share calls', async (t) => {
  const engine = await start(t, { maxConcurrent: 2 });
  const rows: number[] = [];
  engine.on('step', (step) => rows.push(step.rows));
  await Promise.all([1, 2].map((seed) => one(engine, request(seed))));
  t.ok(rows.includes(4), `rows per call: ${rows}`);
});

t.test('an abort leaves the queue at once, and frees the worker at the next step', async (t) => {
  const engine = await start(t);
  const cancelled: string[] = [];
  engine.on('cancelled', ({ phase, reason }) => cancelled.push(`${phase} ${reason}`));
  const [running, queued] = [new AbortController(), new AbortController()];
  const long = request(1, { steps: 150, strength: 1 });
  const first = one(engine, long, running.signal);
  const second = one(engine, long, queued.signal);
  await new Promise((resolve) => engine.once('step', resolve));
  t.match(engine.status, { inFlight: 1, queueDepth: 1 });

  queued.abort(new EngineError('cancelled', 'gone'));
  await t.rejects(second, { code: 'cancelled' });
  t.equal(engine.status.queueDepth, 0);
  running.abort(new EngineError('deadline_exceeded', 'late'));
  await t.rejects(first, { code: 'deadline_exceeded' });
  let steps = 0;
  engine.on('step', () => steps++);
  while (engine.status.inFlight > 0) await sleep(1);
  t.ok(steps < 50, `${steps} of 150 steps after the abort`);
  t.strictSame(cancelled, ['queued client_gone', 'running deadline']);
});

t.test('a worker that does not stay alive is started again with backoff, and given up after three ends', async (t) => {
  const engine = await start(t);
  const first = engine.status.workers[0]!.pid!;
  process.kill(first, 'SIGKILL');
  await new Promise((resolve) => engine.once('ready', resolve));
  t.not(engine.status.workers[0]!.pid, first);
  t.match(engine.status, { ready: true, workers: [{ up: true, restarts: 1 }] });
  for (let i = 0; i < 2; i++) {
    const ended = new Promise((resolve) => engine.once('workerExit', resolve));
    process.kill(engine.status.workers[0]!.pid!, 'SIGKILL');
    await ended;
    if (i === 0) await new Promise((resolve) => engine.once('ready', resolve));
  }
  await t.rejects(one(engine, request(1)), {
    code: 'not_ready',
    message: /No worker stays alive/,
  });
  t.equal(engine.status.ready, false);
  await new Promise((resolve) => engine.once('ready', resolve));
  t.ok((await one(engine, request(1))).unetCalls > 0, 'one that comes back is used again');
});

t.test('an empty folder of models is not ready, and says so', async (t) => {
  const engine = await start(t, { modelsDir: t.testdir({}) });
  t.match(engine.status, { ready: false, reason: /No model in this server can run/ });
  t.throws(() => engine.model(), { code: 'not_ready' });
});

t.test('close refuses what waits and runs', async (t) => {
  const engine = await start(t);
  const both = [1, 2].map((seed) => one(engine, request(seed, { steps: 150 })));
  const refused = Promise.all(both.map((picture) => t.rejects(picture, { code: 'shutting_down' })));
  await engine.close();
  await refused;
});
