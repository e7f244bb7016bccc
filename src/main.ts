// config -> workers -> app -> listen -> drain

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import { engineSettings, pairs, preloadOf, readConfig } from './config.js';
import { type CatalogueEntry, Engine } from './engine/host/engine.js';
import { GpuTelemetry } from './engine/host/gpu-telemetry.js';
import { openGpuSource } from './engine/shared/gpu/gpu-source.js';
import { onHangup } from './hangup.js';
import { exampleInfluence, examplePrompt } from './http/pictures/example.js';
import { createLogger } from './log.js';

const gpuPollMs = 5000;

// Nothing here loads onnxruntime, but what a process is started from this one must not send telemetry.
process.env.ORT_DISABLE_TELEMETRY = '1';

const config = orExit(() => readConfig());
const text = config.LOG_FORMAT === 'text' || (config.LOG_FORMAT === 'auto' && process.stdout.isTTY === true);
const logger = createLogger(config, text);
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const lifecycle = { draining: false };

const gpuSource = await openGpuSource();
const gpus = gpuSource && new GpuTelemetry(gpuSource, gpuPollMs);
await gpus?.start(); // DEVICES=auto is about what it tells
const engine = orExit(() => new Engine({ ...engineSettings(config), gpus }));
engine.spawn(); // workers begin while all that speaks HTTP is loaded
// A line has the pid of this process already.
let lost = false;
engine.on('workerExit', ({ pid, ...details }) => {
  lost = true;
  logger.error({ ...details, workerPid: pid }, 'a worker ended; a new one is started');
});
engine.on('workerKiller', (details) =>
  logger.error(details, 'a request is refused: each worker that ran it ended (request_kills_worker)'),
);
engine.on('workerLog', ({ device, line }) => logger.warn({ device }, line));
const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } = config;
const spans =
  endpoint === undefined
    ? undefined
    : (await import('./http/server/spans.js')).openSpans({ endpoint, version, logger });
const build = { version, revision: config.REVISION };
const { buildApp } = await import('./http/app.js');
const { app, metricsApp, shelf } = await buildApp({ config, engine, gpus, spans, logger, lifecycle, build });
const listen = (server: typeof app, port: number, told: (address: string) => string) =>
  server
    .listen({ host: config.HOST, port, listenTextResolver: (address) => (text ? told(address) : 'listening') })
    .catch((error: Error) => exit(`The server cannot listen on port ${port}: ${error.message}.`));
const url = await listen(app, config.PORT, () => 'loading the models');
if (metricsApp) await listen(metricsApp, config.METRICS_PORT!, (address) => `metrics are at ${address}/metrics`);

if (!['127.0.0.1', '::1', 'localhost'].includes(config.HOST) && config.API_KEYS === '') {
  logger.warn(`listening on ${config.HOST} without API_KEYS: whoever reaches this address can use it`);
}

let told = new Set<string>();
let greeted = false;
engine.once('ready', () => {
  const fault = engine.startFault;
  if (fault !== undefined) exit(fault);
});
engine.on('ready', () => greet(url));
engine.on('models', (models) => {
  tellOf(models);
  greet(url);
});
engine.on('ready', ({ models, pid, ...worker }) => {
  // Until one ends, the greeting says it to a person.
  logger[text && !lost ? 'debug' : 'info'](
    {
      ...worker,
      workerPid: pid,
      models: models.filter(({ runnable }) => runnable).map(({ name }) => name),
      defaultModel: engine.defaultModel,
      rowBudgets: Object.fromEntries(models.flatMap(rowBudgets)),
    },
    'a worker is ready',
  );
});
if (gpus) {
  logger.info({ source: gpuSource?.name, gpus: gpus.gpus.map(({ name }) => name) }, 'GPU telemetry');
}
if (engine.unusedGpus?.reason === 'no_provider') {
  logger.warn(
    { gpus: engine.unusedGpus.gpus },
    "an NVIDIA GPU is here and not used, everything runs on the CPU: onnxruntime's CUDA provider is not installed. Use the cuda image, or run ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install; DEVICES=cpu says that the CPU is meant",
  );
}
engine.start();

onHangup(() => {
  logger.info('SIGHUP: looking at the models');
  engine.look();
});

closeWithGrace({ delay: config.DRAIN_DEADLINE_MS, logger, skip: ['SIGHUP'] }, async ({ signal, err }) => {
  lifecycle.draining = true;
  if (err) logger.error({ err }, 'the server ends because of an error that nothing caught');
  else logger.info({ signal }, 'draining: readiness is off, requests that run are finished');
  // A balancer needs the delay to see it; a person at a keyboard does not.
  if (signal === 'SIGTERM') await sleep(config.DRAIN_DELAY_MS);
  await app.close();
  await metricsApp?.close();
  await Promise.all([engine.close(), spans?.close(), gpus?.close()]);
  logger.info('closed');
});

/** By model and size; empty where nothing was measured. */
function rowBudgets(model: CatalogueEntry): [string, number][] {
  const capacities = (model.runnable && model.capacities) || [];
  return capacities.flatMap(({ width, height, maxRows }) =>
    maxRows ? [[`${model.name} ${width}x${height}`, maxRows] as [string, number]] : [],
  );
}

/** Each fault of a folder or a setting once, for as long as it stays. */
function tellOf(models: readonly CatalogueEntry[]): void {
  const faults = models.flatMap((model) => {
    if (!model.runnable) return [`the model ${model.name} cannot run: ${model.reason}`];
    return model.note === undefined ? [] : [`the model ${model.name}: ${model.note}`];
  });
  const strayed = [...pairs(config.MODEL_ALIASES)]
    .filter(([, name]) => ![...models, ...shelf.others].some((one) => one.name === name))
    .map(([alias, name]) => `MODEL_ALIASES has ${alias}=${name}, and there is no model ${name}`);
  const preload = preloadOf(config);
  const unloaded = (preload === 'auto' ? [] : preload).flatMap((name) => {
    const found = models.find((model) => model.name === name);
    if (!found) return [`PRELOAD_MODELS has ${name}, and there is no such model`];
    const waits = found.runnable && !found.loaded;
    return waits ? [`PRELOAD_MODELS has ${name}, which does not fit into MODEL_MEMORY_BYTES beside the others`] : [];
  });
  const now = new Set([...faults, ...strayed, ...unloaded]);
  for (const sentence of now) if (!told.has(sentence)) logger.warn(sentence);
  told = now;
}

/** Once a model can run, which may be later than a worker is ready. */
function greet(address: string): void {
  if (greeted || !engine.status.ready) return;
  greeted = true;
  const page = `${address}/`;
  const example = `curl -F image=@docs/pictures/cottage.png -F prompt=${examplePrompt} -F influence=${exampleInfluence} -o picture.png ${address}/img2img`;
  if (text) logger.info(`ready\n\n  page     ${page}\n  console  ${address}/docs\n  try      ${example}\n`);
  else logger.info({ address, page, console: `${address}/docs`, example }, 'ready');
}

/** Whoever starts the server wants a sentence, not a stack. */
function orExit<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    return exit((error as Error).message);
  }
}

function exit(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
