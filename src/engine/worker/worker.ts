// Entry of a worker: one child process per device. Runs batches of requests step by step, and speaks messages.
// A model run blocks this process; between two of them the event loop turns, so that joins and aborts take effect at the next step.

import { Socket } from 'node:net';
import { constants, setPriority } from 'node:os';

import { setImmediate as nextTurn } from 'node:timers/promises';
import { EmbeddingLibrary } from '../../pipeline/embeddings/library.js';

import { removeLeftOvers } from '../../pipeline/onnx/graph-cache.js';
import { onnxruntimeVersion } from '../../pipeline/onnx/sessions.js';
import { Channel, channelFd } from '../shared/channel.js';
import { isOutOfMemory } from '../shared/faults.js';
import type { FromWorker, StartMessage, ToWorker } from '../shared/messages.js';
import { Batch } from './batch.js';
import { memoryReport, type OnDevice, WorkerDevice } from './batch-device.js';
import { BranchedLoras } from './branched-loras.js';
import { openDevice } from './device.js';
import { FoldedModels } from './folded-models.js';
import { FolderWatch } from './folder-watch.js';
import { LoraModels } from './lora-models.js';
import { LoraStore } from './lora-store.js';
import { ModelStore } from './model-store.js';
import { dieWithParent } from './parent-death.js';
import { warmUp } from './warm-up.js';

const lookAfterMs = { first: 500, most: 30_000 };
/** Until what a model's pictures have taken is given back. */
const restMs = 600_000;

let batch: Batch<OnDevice>;
let batchDevice: WorkerDevice;
let embeddings: EmbeddingLibrary;
let folderWatch: FolderWatch;
let stepping = false;
/** The stamp of what was last said of them. */
let embeddingsTold: string | undefined;

dieWithParent(Number(process.argv[2]));

const line = new Socket({ fd: channelFd, readable: true, writable: true });
const channel = new Channel(line, {
  message: (message) => receive(message as ToWorker),
  broken: (reason) => die(new Error(reason)),
});

// The HTTP process decides when a worker ends: by leaving, or by SIGKILL. Signals to the whole process group are not for us.
line.on('close', () => process.exit(0));
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'] as const) process.on(signal, () => {});

function receive(message: ToWorker): void {
  switch (message.type) {
    case 'start':
      start(message).catch(die);
      break;
    case 'generate':
      batchDevice.arrived(message);
      batch.add(message);
      run().catch(die);
      break;
    case 'abort':
      batch.abort(message.id);
      break;
    case 'look':
      folderWatch?.ask();
  }
}

function sendModels({ models, problem }: ModelStore, { loras }: LoraStore): void {
  send({ type: 'models', models, loras, problem, onnxruntime: onnxruntimeVersion });
}

/** Prompts look at their folder too: what is new is told when nothing is left to do. @returns whether anything was */
function sendEmbeddings(): boolean {
  embeddings.look();
  if (embeddings.stamp === embeddingsTold) return false;
  embeddingsTold = embeddings.stamp;
  send({ type: 'embeddings', embeddings: embeddings.list });
  return true;
}

const isIdle = () => !stepping && batch.isIdle;

/** Folders come, go and change while the worker runs. It looks at them less and less often, and seldom while it has work. */
async function watchFolders(store: ModelStore, loras: LoraStore): Promise<never> {
  for (let delay = lookAfterMs.first; ; delay = Math.min(2 * delay, lookAfterMs.most)) {
    const asked = await folderWatch.next(delay);
    if (!isIdle() && !asked && !store.isWaiting && delay < lookAfterMs.most) continue;
    const changed = [await store.look(isIdle), await loras.look()].includes(true);
    await store.giveBack(restMs, isIdle);
    if (isIdle()) send({ type: 'busy', doing: 'nothing' });
    if (changed) sendModels(store, loras);
    if ([sendEmbeddings(), changed, asked, store.isWaiting].includes(true)) delay = lookAfterMs.first / 2;
  }
}

async function start(options: StartMessage): Promise<void> {
  // Where pictures take the whole CPU, the HTTP process must not wait for it: probes and refusals come at once.
  if (options.provider === 'cpu') setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  removeLeftOvers(options.cacheDir);
  const device = await openDevice(options);
  embeddings = new EmbeddingLibrary(options.embeddingsDir);
  const store = new ModelStore(
    { ...options, embeddings },
    {
      loading: () => send({ type: 'busy', doing: 'load' }),
      warmUp: (model) => warmUp(model, { device, measureRows: options.measureRows }),
      changed: (model) => {
        send({ type: 'model', model });
        if (!model.runnable && model.changing) folderWatch.ask();
      },
      componentLoaded: (model, component, ms) => send({ type: 'modelLoaded', model, component, ms }),
    },
  );
  folderWatch = new FolderWatch(options.modelsDir);
  const loras = new LoraStore(options.lorasDir, options.loraDigests, {
    reading: () => send({ type: 'busy', doing: 'load' }),
    read: (lora) => send({ type: 'lora', lora }),
  });
  const inUse = () => new Set(batch.running.map(({ generation }) => generation.model));
  const folded = new FoldedModels(store, loras, options, inUse, (model, component, ms) =>
    send({ type: 'modelLoaded', model, component, ms }),
  );
  const loraModels = new LoraModels(store, new BranchedLoras(loras, inUse), folded, inUse);
  batchDevice = new WorkerDevice(store, loraModels, device, options.safety, () => batch.running, send);
  batch = new Batch(batchDevice);
  await store.look();
  await store.preload(options.preload);
  await loras.look();
  sendModels(store, loras);
  sendEmbeddings();
  send(memoryReport(device));
  send({ type: 'busy', doing: 'nothing' });
  send({ type: 'ready' });
  watchFolders(store, loras).catch(die);
}

async function run(): Promise<void> {
  if (stepping) return;
  stepping = true;
  while (!batch.isIdle) {
    send({ type: 'busy', doing: 'run' });
    await batch.step();
    await batchDevice.releaseRetired();
    await nextTurn();
  }
  stepping = false;
  sendEmbeddings();
  send({ type: 'busy', doing: 'nothing' });
}

function send(message: FromWorker): void {
  channel.send(message);
}

/** What should not happen (a failed UNet call, a bug): the worker ends, and the engine starts a new one. */
function die(error: unknown): void {
  const text = `${error instanceof Error ? error.stack : error}`;
  process.stderr.write(`${text}\n`);
  const reason = isOutOfMemory(error) ? 'oom' : 'execution_provider';
  const lastWords: FromWorker = { type: 'fatal', reason, message: text.split('\n')[0]! };
  channel.send(lastWords, () => process.exit(1));
}
