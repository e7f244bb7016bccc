// npm run soak [-- scale]: what must hold under load and faults, with full counts; a scale of 0.1 takes a tenth of them.
// Everything runs on the stand-in device. Writes results-soak.md; ends with 1 when a limit is not kept.

import { writeFile } from 'node:fs/promises';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { engineSettings, readConfig } from '../src/config.js';
import { Engine, EngineError } from '../src/engine/host/engine.js';
import { buildApp } from '../src/http/app.js';
import { standIn } from '../test/stand-in/stand-in.js';
import { generate, machine, quantile, randoms, request, startEngine } from './engine.js';
import { onePicture, residentMiB, startServer } from './server.js';

const scale = Number(process.argv[2] ?? 1);
const times = (count: number) => Math.max(1, Math.round(count * scale));
const results: { what: string; kept: boolean; figures: string }[] = [];
function note(what: string, kept: boolean, figures: string): void {
  results.push({ what, kept, figures });
  console.log(kept ? 'kept ' : 'BROKEN', what, figures);
}

/** Runs jobs with so many of them at once. */
async function closedLoop(count: number, clients: number, job: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (next < count) await job(next++);
    }),
  );
}

async function killed(): Promise<void> {
  const settings = { devices: 'cpu*2', maxConcurrent: 2, workerModule: standIn({ callMs: { 1: 20, 2: 20, 4: 24 } }) };
  const kinds = Array.from({ length: 20 }, (_, i) =>
    request(i, { guidanceScale: i % 2 ? 1 : 7.5, strength: 0.4 + i / 40 }),
  );
  const calm = await startEngine(settings);
  const expected = await Promise.all(kinds.map(async (one) => Buffer.from((await generate(calm, one)).pixels.data)));
  await calm.close();

  const engine = await startEngine(settings);
  let deaths = 0;
  let replayed = 0;
  engine.on('workerExit', ({ requests }) => {
    deaths++;
    replayed += requests;
  });
  let victim = 0;
  const killer = setInterval(() => {
    const { pid, up } = engine.status.workers[victim++ % 2]!;
    if (up) process.kill(pid!, 'SIGKILL');
  }, 5000);
  let lost = 0;
  let wrong = 0;
  const count = times(1000);
  await closedLoop(count, 8, async (i) => {
    try {
      const { pixels } = await generate(engine, kinds[i % kinds.length]!);
      if (!expected[i % kinds.length]!.equals(pixels.data)) wrong++;
    } catch {
      lost++;
    }
  });
  clearInterval(killer);
  await engine.close();
  const figures = `${count} requests, ${deaths} workers killed, ${replayed} requests run again: ${lost} lost, ${wrong} wrong`;
  note('a worker killed every 5 s loses no request and spoils no picture', lost + wrong === 0 && replayed > 0, figures);
}

async function cancelled(): Promise<void> {
  const engine = await startEngine({ maxConcurrent: 4, workerModule: standIn({ callMs: { 1: 50, 2: 50, 8: 60 } }) });
  const random = randoms(3);
  const count = times(100);
  let within = 0;
  for (let i = 0; i < count; i++) {
    const controller = new AbortController();
    const long = { steps: 150, strength: 1 };
    const going = generate(engine, request(i, long), controller.signal).catch(() => undefined);
    await new Promise((resolve) => engine.once('step', resolve));
    await sleep(random() * 100);
    await nextTurn(); // so that steps that have ended are heard before they are counted
    let steps = 0;
    const count = () => steps++;
    engine.on('step', count);
    controller.abort(new EngineError('cancelled', 'The client left.'));
    await going;
    while (engine.status.inFlight > 0) await sleep(1);
    engine.off('step', count);
    if (steps <= 1) within++;
  }
  await engine.close();
  note('a cancelled request frees its rows within one step', within === count, `${within} of ${count}`);
}

async function refused(): Promise<void> {
  const config = readConfig({
    MODELS_DIR: 'test/reference',
    DEVICES: 'cpu',
    MAX_CONCURRENT: '1',
    MAX_QUEUE: '3',
    REQUEST_TIMEOUT_MS: '600000',
    WORKER_MODULE: standIn({ callMs: { 1: 400, 2: 400 } }),
  });
  const engine = new Engine(engineSettings(config));
  const logger = pino({ level: 'silent' });
  const { app } = await buildApp({
    config,
    engine,
    logger,
    lifecycle: { draining: false },
    build: { version: 'soak', revision: 'unknown' },
  });
  const ready = new Promise((resolve) => engine.once('ready', resolve));
  engine.start();
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  await ready;
  const picture = new Blob([await onePicture()]);
  const post = async (steps: number) => {
    const body = new FormData();
    body.append('image', picture, 'picture.png');
    body.append('steps', String(steps));
    body.append('strength', '1');
    body.append('width', '32');
    body.append('height', '32');
    return fetch(`${url}/img2img`, { method: 'POST', body });
  };
  const random = randoms(5);
  let over = false;
  // Keeps the queue full; after each answer it leaves the place open for a moment, so that the moment can be seen.
  const load = Promise.all(
    Array.from({ length: 4 }, async (_, i) => {
      await sleep(i * 50);
      while (!over) {
        await (await post(10 + Math.floor(random() * 20))).arrayBuffer();
        await sleep(300);
      }
    }),
  );
  const opened: number[] = [];
  let full = false;
  const watch = setInterval(() => {
    const now = engine.status.queueDepth >= engine.status.queueLimit;
    if (full && !now) opened.push(performance.now());
    full = now;
  }, 10);
  const latencies: number[] = [];
  const told: { at: number; seconds: number }[] = [];
  while (told.length < times(200)) {
    await sleep(200 + random() * 600);
    if (engine.status.queueDepth < engine.status.queueLimit) continue;
    const at = performance.now();
    const answer = await post(10);
    if (answer.status !== 429) continue;
    latencies.push(performance.now() - at);
    told.push({ at, seconds: Number(answer.headers.get('retry-after')) });
    await answer.arrayBuffer();
  }
  while (opened.at(-1)! < told.at(-1)!.at) await sleep(50);
  over = true;
  clearInterval(watch);
  await engine.close();
  await load.catch(() => undefined);
  await app.close();
  const ratios = told.flatMap(({ at, seconds }) => {
    const truth = opened.find((time) => time > at);
    return truth === undefined ? [] : [(seconds * 1000) / (truth - at)];
  });
  const close = ratios.filter((ratio) => ratio >= 0.5 && ratio <= 2).length / ratios.length;
  const figures = `${told.length} refusals, times to the 429: median ${quantile(latencies, 0.5).toFixed(1)} ms, p99 ${quantile(latencies, 0.99).toFixed(1)} ms`;
  note('a full queue answers 429 within 20 ms', quantile(latencies, 0.99) <= 20, figures);
  note(
    'Retry-After is within a factor of two of the truth in 90 %',
    close >= 0.9,
    `${(100 * close).toFixed(0)} % of ${ratios.length}`,
  );
}

async function endured(): Promise<void> {
  const { url, pids, stop } = await startServer({
    MODELS_DIR: 'test/reference',
    DEVICES: 'cpu*2',
    MAX_CONCURRENT: '1',
    WORKER_MODULE: standIn({ callMs: { 1: 10, 2: 10 } }),
  });
  const picture = new Blob([await onePicture()]);
  const count = times(10_000);
  const memory: number[][] = [];
  const lags: number[] = [];
  let failed = 0;
  const sample = async (scrape: boolean) => {
    memory.push(pids().map(residentMiB));
    const text = await (await fetch(`${url}/metrics`)).text(); // reading it starts the next period of the lag
    if (scrape) lags.push(1000 * Number(/^nodejs_eventloop_lag_p99_seconds (\S+)/m.exec(text)?.[1]));
  };
  const every = Math.ceil(count / 20);
  await closedLoop(count, 6, async (i) => {
    if (i % every === 0) await sample(i > 0);
    const body = new FormData();
    body.append('image', picture, 'picture.png');
    body.append('prompt', `picture ${i % 500}`);
    body.append('steps', '2');
    body.append('width', '32');
    body.append('height', '32');
    const answer = await fetch(`${url}/img2img`, { method: 'POST', body });
    await answer.arrayBuffer();
    if (answer.status !== 200) failed++;
  });
  await sample(true);
  await stop();
  // A heap rises and falls with its collections, and grows once to what a process needs: what counts is whether its highest points go on rising.
  const quarter = Math.floor(memory.length / 4);
  const peaks = ['HTTP process', 'worker 0', 'worker 1'].map((name, process) => {
    const quarters = [0, 1, 2, 3].map((i) =>
      Math.max(...memory.slice(i * quarter, (i + 1) * quarter).map((sample) => sample[process]!)),
    );
    const text = `${name} ${quarters.map((mebibytes) => mebibytes.toFixed(0)).join(', ')} MiB`;
    return { growth: quarters[3]! / Math.max(...quarters.slice(1, 3)), text };
  });
  const flatEnough = Math.max(...peaks.map(({ growth }) => growth)) < 1.1;
  note(
    'memory of every process is flat',
    flatEnough && failed === 0,
    `${count} requests, ${failed} failed; highest in each quarter: ${peaks.map(({ text }) => text).join('; ')}`,
  );
  note(
    'event-loop delay of the HTTP process at full load, p99 below 20 ms',
    quantile(lags, 0.5) < 20,
    `median ${quantile(lags, 0.5).toFixed(1)} ms, worst ${Math.max(...lags).toFixed(1)} ms of ${lags.length} periods (the monitor's own 10 ms are in them)`,
  );
}

await killed();
await cancelled();
await refused();
await endured();

const text = `# Soak

${machine('npm run soak')}${scale === 1 ? '' : ` Scaled by ${scale}.`}
Everything runs on the stand-in device: the real engine, processes and pipeline with a small model.

| must hold | kept | figures |
| --- | --- | --- |
${results.map(({ what, kept, figures }) => `| ${what} | ${kept ? 'yes' : 'NO'} | ${figures} |`).join('\n')}
`;
await writeFile(new URL('results-soak.md', import.meta.url), text);
console.log(text);
process.exit(results.every(({ kept }) => kept) ? 0 : 1);
