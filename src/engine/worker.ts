// Entry of a worker: one child process per device. Loads models, runs batches of requests step by step, and speaks messages.
// A model run blocks this process; between two of them the event loop turns, so that joins and aborts take effect at the next step.

import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { digestFolder, stampFolder } from '../pipeline/folder-digest.js';
import * as img2img from '../pipeline/img2img.js';
import { loadModel, type Model } from '../pipeline/model.js';
import { findModelFolders, readModelFolder } from '../pipeline/model-folder.js';
import { ModelFolderError } from '../pipeline/model-folder-error.js';
import { fitPreview, type PreviewMap, previewOf } from '../pipeline/preview.js';
import { UnsupportedSchedulerError } from '../pipeline/schedulers/schedule.js';
import { onnxruntimeVersion } from '../pipeline/sessions.js';
import { Batch, type BatchDevice } from './batch.js';
import type { BrokenModel, FromWorker, GenerateMessage, ModelInfo, StartMessage, ToWorker } from './messages.js';

interface Running {
  readonly model: Model;
  readonly generation: img2img.Generation;
  readonly modelRunMsBefore: number;
  readonly message: GenerateMessage;
}

let options: StartMessage;
let batch: Batch<Running>;
const catalogue = new Map<string, ModelInfo | BrokenModel>();
/** Those that are loaded. */
const models = new Map<string, Model>();
const previews = new WeakMap<Model, PreviewMap>();

const device: BatchDevice<Running> = {
  prepare: async (message: GenerateMessage) => {
    const model = await modelNamed(message.model);
    const modelRunMsBefore = modelRunMs(model);
    const [generation] = await img2img.prepare(model, [message.request]);
    return { model, modelRunMsBefore, message, generation: generation! };
  },
  canShareCall: (a, b) => a.model === b.model && img2img.canShareCall(a.model, a.generation, b.generation),
  denoise: async (running) => {
    const { model } = running[0]!;
    const generations = running.map(({ generation }) => generation);
    const start = performance.now();
    await img2img.denoise(model, generations);
    const ms = performance.now() - start;
    const rows = generations.reduce((sum, generation) => sum + img2img.rowsOf(generation), 0);
    send({ type: 'step', model: model.folder.name, rows, ms });
    for (const { message, generation } of running) if (message.wantsProgress) tellProgress(model, message, generation);
  },
  isDone: ({ generation }) => img2img.isDone(generation),
  finish: async (id, { model, generation, modelRunMsBefore }) => {
    const [pixels] = await img2img.decode(model, [generation]);
    const { droppedTokens, drawUnseeded, unetCalls, timings } = generation;
    const result = {
      pixels: pixels!,
      droppedTokens,
      drawUnseeded,
      unetCalls,
      timings,
      modelRunMs: modelRunMs(model) - modelRunMsBefore,
    };
    send({ type: 'done', id, result });
  },
  failed: (id, error) => {
    const code = error instanceof ModelFolderError ? 'model_not_runnable' : 'internal';
    send({ type: 'failed', id, code, message: error instanceof Error ? error.message : String(error) });
  },
  aborted: (id) => send({ type: 'aborted', id }),
};

function tellProgress(model: Model, { id, preview }: GenerateMessage, generation: img2img.Generation): void {
  const { index, unetCalls, scheduler } = generation;
  const steps = unetCalls + scheduler.timesteps.length - index;
  const map = preview ? previews.get(model) : undefined;
  send({
    type: 'progress',
    id,
    progress: { step: unetCalls, steps, ...(map && { preview: previewOf(map, generation) }) },
  });
}

let stepping = false;
async function run(): Promise<void> {
  if (stepping) return;
  stepping = true;
  while (!batch.isIdle) {
    await batch.step();
    await nextTurn();
  }
  stepping = false;
}

process.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'start':
      options = message;
      batch = new Batch(device, options.maxConcurrent);
      start().catch(die);
      break;
    case 'generate':
      batch.add(message);
      run().catch(die);
      break;
    case 'abort':
      batch.abort(message.id);
  }
});

// The HTTP process decides when a worker ends: by leaving, or by SIGKILL. Signals to the whole process group are not for us.
process.on('disconnect', () => process.exit(0));
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'] as const) process.on(signal, () => {});

async function start(): Promise<void> {
  for (const name of findModelFolders(options.modelsDir)) catalogue.set(name, await inspect(name));
  for (const { name } of [...catalogue.values()].filter(({ runnable }) => runnable)) {
    const loads = await modelNamed(name).then(
      () => true,
      () => false, // told by its place in the catalogue
    );
    if (loads) break;
  }
  send({ type: 'models', models: [...catalogue.values()], onnxruntime: onnxruntimeVersion });
  send({ type: 'ready' });
}

async function inspect(name: string): Promise<ModelInfo | BrokenModel> {
  const path = join(options.modelsDir, name);
  try {
    const folder = readModelFolder(path, options.provider);
    const stamp = stampFolder(path);
    const known = options.digests[name];
    const digest = known?.stamp === stamp ? known.digest : await digestFolder(path);
    const { title, description, kind, exporter, precision, license, size, defaults, schedulerConfig } = folder;
    const { latentConsistency, guidanceEmbedded } = folder.family;
    const facts = { title, description, kind, exporter, precision, license, size, defaults, schedulerConfig };
    return { name, runnable: true, loaded: false, ...facts, latentConsistency, guidanceEmbedded, digest, stamp };
  } catch (error) {
    return broken(name, error);
  }
}

/** Loads and warms up a model at its first use. One that fails is known as broken from then on. */
async function modelNamed(name: string): Promise<Model> {
  const loaded = models.get(name);
  if (loaded) return loaded;
  const info = catalogue.get(name);
  if (!info?.runnable) throw new ModelFolderError(info?.reason ?? `there is no model ${name}`);
  try {
    const path = join(options.modelsDir, name);
    const model = await loadModel(path, options);
    await warmUp(model);
    previews.set(model, await fitPreview(model));
    models.set(name, model);
    tell({ ...info, loaded: true });
    return model;
  } catch (error) {
    const told = broken(name, error);
    tell(told);
    throw new ModelFolderError(told.reason);
  }
}

function tell(info: ModelInfo | BrokenModel): void {
  catalogue.set(info.name, info);
  send({ type: 'model', model: info });
}

/** Whatever is wrong with a folder is the folder's, and never the worker's end. */
function broken(name: string, error: unknown): BrokenModel {
  const expected = error instanceof ModelFolderError || error instanceof UnsupportedSchedulerError;
  const message = String(error instanceof Error ? error.message : error).split('\n')[0]!;
  return { name, runnable: false, reason: expected ? message : `it cannot be read: ${message}` };
}

/** One guided step at the native size, so that the first request meets allocated arenas. */
async function warmUp(model: Model): Promise<void> {
  const { size, defaults } = model.folder;
  const pixels = { data: new Uint8Array(size.native ** 2 * 3), width: size.native, height: size.native };
  const request = { pixels, prompt: '', negativePrompt: '', strength: 1, guidanceScale: 2, steps: 1, seed: 0 };
  const generations = await img2img.prepare(model, [{ ...request, scheduler: defaults.scheduler }]);
  while (!img2img.isDone(generations[0]!)) await img2img.denoise(model, generations);
  await img2img.decode(model, generations);
}

function modelRunMs(model: Model): number {
  return Object.values(model.sessions).reduce((sum, session) => sum + session.runMs, 0);
}

function send(message: FromWorker): void {
  if (process.connected) process.send!(message);
}

/** What should not happen (a failed UNet call, a bug): the worker ends, and the engine starts a new one. */
function die(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
  process.exit(1);
}
