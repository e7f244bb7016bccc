import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { node, rewriteGraph } from '../pipeline/folders.js';
import { cottage, form, startService } from '../start.js';

const long = { steps: 60, strength: 1, seed: 1 };
const quick = { steps: 2, width: 128, height: 128, seed: 1 };
/** The answer with its body read: Node's fetch fails where a server closes a connection while a body waits there, unread. */
const post = async (url: string, fields: Record<string, string | number>) => {
  const response = await fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, fields) });
  const { status, headers } = response;
  return new Response(await response.arrayBuffer(), { status, headers });
};
const inFlight = async (url: string) =>
  Number(/^img2img_in_flight_requests (\d+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]);

t.test('a worker that is killed costs its request nothing but time', async (t) => {
  const service = await startService(t);
  const { url } = service;
  const victim = post(url, long);
  while ((await inFlight(url)) === 0) await sleep(10);
  const { workerPid: pid } = await service.logged(({ msg }) => msg === 'a worker is ready');
  process.kill(Number(pid), 'SIGKILL');
  t.equal((await victim).status, 200);
  t.match(await service.logged(({ msg }) => /a worker ended/.test(String(msg))), {
    device: 'cpu',
    reason: 'signal',
    cause: 'SIGKILL',
    workerPid: pid,
  });
  t.match(await (await fetch(`${url}/metrics`)).text(), /img2img_worker_restarts_total\{worker="0",device="cpu".*\} 1/);
});

t.test('SIGTERM drains: readiness off, work goes on for the delay, what runs is answered, exit 0', async (t) => {
  const service = await startService(t, { DRAIN_DELAY_MS: '4000', REQUEST_TIMEOUT_MS: '600000' });
  const { url } = service;
  t.equal((await fetch(`${url}/readyz`)).status, 200);
  const running = post(url, long);
  while ((await inFlight(url)) === 0) await sleep(10);
  service.process.kill('SIGTERM');
  await service.logged(({ msg }) => /^draining/.test(String(msg)));

  const readiness = await fetch(`${url}/readyz`);
  t.equal(readiness.status, 503);
  t.match(await readiness.json(), { code: 'draining' });
  t.equal((await fetch(`${url}/livez`)).status, 200);
  const late = await post(url, quick);
  t.equal(late.status, 200, 'a request that came during the delay is answered');
  t.equal(late.headers.get('connection'), 'close');
  t.equal((await running).status, 200, 'the request that ran is answered');
  t.equal(await service.ended, 0);
});

t.test('a full queue is a 429 with Retry-After, and does not fail readiness', async (t) => {
  const { url } = await startService(t, { MAX_QUEUE: '1' });
  const controller = new AbortController();
  const begun = [1, 2].map(() =>
    fetch(`${url}/img2img`, { method: 'POST', body: form(cottage, long), signal: controller.signal }).catch(
      () => undefined,
    ),
  );
  while (!/^img2img_queue_depth 1$/m.test(await (await fetch(`${url}/metrics`)).text())) await sleep(10);
  const response = await post(url, quick);
  t.equal(response.status, 429);
  t.match(response.headers.get('retry-after'), /^\d+$/);
  t.match(await response.json(), { code: 'overloaded', detail: /The queue is full/ });
  t.equal((await fetch(`${url}/readyz`)).status, 200);
  t.match(await (await fetch(`${url}/metrics`)).text(), /img2img_rejected_requests_total\{reason="queue_full"\} 1/);
  controller.abort();
  await Promise.all(begun);
  let after: Response;
  do after = await post(url, quick);
  while (after.status === 429); // until the server has seen them leave
  t.equal(after.status, 200, 'those that left made room');
});

t.test('onnxruntime leaves no trace of telemetry', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'img2img-home-'));
  const { url } = await startService(t, { HOME: home, XDG_CACHE_HOME: join(home, '.cache') });
  t.equal((await post(url, quick)).status, 200);
  t.strictSame(
    readdirSync(home, { recursive: true }).filter((name) => /microsoft|onnx/i.test(String(name))),
    [],
  );
});

t.test('a setting that cannot be stops the start with a sentence', async (t) => {
  const cases: [environment: Record<string, string>, sentence: RegExp][] = [
    [{ PORT: 'http' }, /^PORT is "http"; it must be an integer\.$/m],
    [{ LOG_LEVEL: 'loud' }, /^LOG_LEVEL is "loud"; it must be one of trace, debug, /m],
    [
      { DEVICES: 'gpu' },
      /DEVICES is "gpu"; it must be auto or a list of cpu, cpu\*N, cuda:N, cuda:N:M, webgpu, coreml and dml/,
    ],
  ];
  for (const [environment, sentence] of cases) {
    const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'src/main.ts'], {
      env: { PATH: process.env.PATH, ...environment },
      encoding: 'utf8',
      timeout: 20_000,
    });
    t.equal(status, 1);
    t.match(stderr, sentence);
    t.notMatch(stderr, /\n {4}at /, 'no stack');
  }
});

t.test('folders that cannot run are told, and stop nothing', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'img2img-models-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const copy = (name: string) => {
    cpSync('models/paintbox', join(dir, name), { recursive: true });
    return join(dir, name);
  };
  copy('a-good-one');
  rmSync(join(copy('no-unet'), 'unet/model.onnx'));
  truncateSync(join(copy('cut-off'), 'unet/model.onnx'), 100_000);
  rewriteGraph(copy('fancy-node'), 'unet', ({ nodes }) => {
    nodes.push(node('Fancy', ['sample'], ['unused']));
  });
  writeFileSync(join(copy('bad-json'), 'model_index.json'), '{');
  writeFileSync(join(copy('fancy'), 'scheduler/scheduler_config.json'), '{"_class_name": "FancyScheduler"}');
  writeFileSync(join(dir, 'fancy/img2img.json'), '{}');
  writeFileSync(
    join(copy('0-thresholding'), 'scheduler/scheduler_config.json'),
    '{"_class_name": "DPMSolverMultistepScheduler", "thresholding": true}',
  );
  writeFileSync(join(dir, '0-thresholding/img2img.json'), '{}');
  writeFileSync(join(copy('1-vocab'), 'tokenizer/vocab.json'), '{"a');
  rmSync(join(dir, '1-vocab/tokenizer/tokenizer.json'), { force: true });
  symlinkSync('/nowhere', join(dir, 'a-good-one', 'dangling'));
  mkdirSync(join(dir, 'notes'));

  writeFileSync(join(dir, 'a-generator.generator.json'), '{"base": "a-good-one"}');
  writeFileSync(join(dir, 'no-generator.generator.json'), '{}');
  const { url, logged, log } = await startService(t, {
    MODELS_DIR: dir,
    MODEL_ALIASES: 'gpt-image-1=nowhere,gpt-image-2=a-generator',
    PRELOAD_MODELS: 'nowhere',
    MAX_STEPS: '20',
  });
  const { models } = (await (await fetch(`${url}/models`)).json()) as {
    models: { name: string; reason?: string; runnable: boolean }[];
  };
  t.strictSame(
    models.map(({ name, runnable }) => [name, runnable]),
    [
      ['0-thresholding', false],
      ['1-vocab', false],
      ['a-good-one', true],
      ['bad-json', false],
      ['cut-off', false],
      ['fancy', false],
      ['fancy-node', true],
      ['no-unet', false],
      ['a-generator', true],
      ['no-generator', false],
    ],
  );
  const reasons = Object.fromEntries(models.map(({ name, reason }) => [name, reason]));
  t.equal(reasons['no-unet'], 'unet/model.onnx is missing, and unet/ holds no safetensors either');
  for (const sentence of [
    'the model no-unet cannot run: unet/model.onnx is missing, and unet/ holds no safetensors either',
    'the model a-good-one: its default of 25 steps is more than MAX_STEPS 20 of this server, which is taken instead',
    'MODEL_ALIASES has gpt-image-1=nowhere, and there is no model nowhere',
    'PRELOAD_MODELS has nowhere, and there is no such model',
    'the generator no-generator cannot be used: no-generator.generator.json: base is missing',
  ]) {
    t.match(await logged(({ msg }) => msg === sentence), { level: 40 });
  }
  t.notOk(
    log.some(({ msg }) => /gpt-image-2/.test(String(msg))),
    'an alias may lead to a generator',
  );
  t.equal(reasons['bad-json'], 'model_index.json is not a JSON object');
  t.match(reasons.fancy, /FancyScheduler is not supported/);
  t.match(reasons['0-thresholding'], /thresholding is not supported/);
  t.equal(reasons['cut-off'], 'unet/model.onnx cannot be read: the file is truncated');
  const refused = await post(url, { ...quick, model: 'fancy-node' });
  t.equal(refused.status, 422);
  t.match(await refused.json(), { code: 'model_not_runnable', detail: /unet\/model.onnx does not load/ });
  const { runnable, reason } = (await (await fetch(`${url}/models/fancy-node`)).json()) as {
    runnable: boolean;
    reason: string;
  };
  t.match([runnable, reason], [false, /does not load/], 'and is known from then on');
  t.equal((await post(url, { ...quick, model: 'no-unet' })).status, 422);
  t.equal((await post(url, quick)).status, 200);
  t.equal((await fetch(`${url}/models/nope`)).status, 404);
});
