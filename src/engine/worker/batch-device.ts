// What a batch runs on: the pipeline with the models of the store, and what it tells the HTTP process about it.

import { isDeepStrictEqual } from 'node:util';
import type { SafetyMode } from '../../model-facts.js';
import { ModelChangingError, ModelFolderError } from '../../pipeline/folder/model-folder-error.js';
import * as img2img from '../../pipeline/img2img.js';
import { denoiserOf, type Model } from '../../pipeline/model.js';
import { fitPreview, type PreviewMap, previewOf, tinyPreviewOf } from '../../pipeline/preview.js';
import { flaggedOf } from '../../pipeline/safety/check-pictures.js';
import type { Pixels } from '../../pixels.js';
import { isDeviceLost, isOutOfMemory } from '../shared/faults.js';
import type { FromWorker, GenerateMessage, LoraWay } from '../shared/messages.js';
import type { BatchDevice, Running } from './batch.js';
import { CallShapes, isOf, type Size } from './call-shapes.js';
import type { Device } from './device.js';
import { LoraError } from './lora-error.js';
import type { LoraModels } from './lora-models.js';
import type { ModelStore } from './model-store.js';

/** A request's state on the device. */
export interface OnDevice {
  readonly message: GenerateMessage;
  readonly model: Model;
  readonly generation: img2img.Generation;
  readonly modelRunMsBefore: number;
  /** What it waited for models to be loaded, ms. */
  readonly modelLoadMs: number;
}

export class WorkerDevice implements BatchDevice<OnDevice> {
  /** The store's load clock when a request came. */
  private readonly arrivals = new WeakMap<GenerateMessage, number>();
  private readonly previews = new WeakMap<Model, PreviewMap>();
  private readonly shapes = new CallShapes();

  constructor(
    private readonly store: ModelStore,
    private readonly loraModels: LoraModels,
    private readonly device: Device,
    private readonly safety: SafetyMode,
    private readonly running: () => readonly Running<OnDevice>[],
    private readonly send: (message: FromWorker) => void,
  ) {}

  /** Called as soon as a request is here. */
  arrived(message: GenerateMessage): void {
    this.arrivals.set(message, this.store.loadClock);
  }

  canAdmit({ model, request: { loras = [] } }: GenerateMessage): boolean {
    if (loras.length > 0) return this.loraModels.hasRoomFor(model, loras);
    return this.store.hasRoomFor(model, this.modelsInUse());
  }

  canPrepareTogether(a: GenerateMessage, b: GenerateMessage): boolean {
    return a.model === b.model && haveOneSize(a, b) && isDeepStrictEqual(a.request.loras, b.request.loras);
  }

  async prepare(messages: readonly GenerateMessage[]): Promise<OnDevice[]> {
    const { model: name, request } = messages[0]!;
    const model = await this.loraModels.get(name, request.loras ?? []);
    const waitedFor = messages.map((message) => this.store.loadClock - this.arrivals.get(message)!);
    this.send({ type: 'busy', doing: 'run' });
    const { hits, misses } = model.promptCache;
    const modelRunMsBefore = modelRunMs(model);
    const generations = await this.device.prepare(
      model,
      messages.map(({ request }) => request),
    );
    this.send({ type: 'promptCache', hits: model.promptCache.hits - hits, misses: model.promptCache.misses - misses });
    return messages.map((message, i) => ({
      message,
      model,
      modelRunMsBefore,
      modelLoadMs: waitedFor[i]!,
      generation: generations[i]!,
    }));
  }

  lost({ model }: OnDevice): Error | undefined {
    return this.store.changeOf(model);
  }

  canShareCall(a: OnDevice, b: OnDevice): boolean {
    // One row was seen to round differently from several on a CPU (with AVX2), in a sum over tokens; sharing gains nothing there.
    if (this.device.cost.kind === 'cpu_time' && Math.min(this.rowsOf(a), this.rowsOf(b)) === 1) return false;
    // Models with LoRAs share what the LoRAs leave alone: with branches all of it.
    const shared = denoiserOf(a.model) === denoiserOf(b.model);
    return shared && img2img.canShareCall(a.model, a.generation, b.generation);
  }

  rowsOf({ generation }: OnDevice): number {
    return img2img.rowsOf(generation);
  }

  mayPrepare({ model: name, request: { pixels } }: GenerateMessage, running: readonly OnDevice[]): boolean {
    const model = this.store.loadedModel(name);
    return !model || this.mayChangeTo(pixels, model, running);
  }

  mayHaveTurn({ model, message }: OnDevice, running: readonly OnDevice[]): boolean {
    return this.mayChangeTo(message.request.pixels, model, running);
  }

  private mayChangeTo(size: Size, model: Model, running: readonly OnDevice[]): boolean {
    const session = denoiserOf(model);
    const isWanted = (other: Size) =>
      running.some(({ model, message: { request } }) => denoiserOf(model) === session && isOf(request.pixels, other));
    return this.shapes.mayHaveTurn(session, size, this.store.callCosts(model.folder.name, size), isWanted);
  }

  rowBudget({ model, message }: OnDevice): number {
    const { width, height } = message.request.pixels;
    return this.store.rowBudget(model.folder.name, width, height);
  }

  async denoise(together: readonly OnDevice[]): Promise<void> {
    const { model, message } = together[0]!;
    const generations = together.map(({ generation }) => generation);
    const rows = generations.reduce((sum, generation) => sum + img2img.rowsOf(generation), 0);
    const size = message.request.pixels;
    const session = denoiserOf(model);
    const calls = this.shapes.next(session, size, rows, this.store.callCosts(model.folder.name, size));
    const start = performance.now();
    await this.device.denoise(model, generations, calls.rows);
    const ms = performance.now() - start;
    this.shapes.took(session, ms);
    const pixels = size.width * size.height;
    this.send({ type: 'step', model: model.folder.name, pixels, rows, ms, changedShape: calls.changes });
    for (const one of together) if (one.message.wantsProgress) await this.tellProgress(one);
  }

  isDone({ generation }: OnDevice): boolean {
    return img2img.isDone(generation);
  }

  canDecodeTogether(a: OnDevice, b: OnDevice): boolean {
    return a.model.sessions.vae_decoder === b.model.sessions.vae_decoder && haveOneSize(a.message, b.message);
  }

  async finish(done: readonly Running<OnDevice>[]): Promise<void> {
    const { model } = done[0]!.generation;
    const pictures = await this.device.decode(
      model,
      done.map(({ generation }) => generation.generation),
    );
    const flagged = await this.check(model, done, pictures);
    // A file that was written over meanwhile is in these pictures.
    const change = this.store.changeOf(model);
    if (change) throw change;
    this.reportMemory();
    for (const [i, { id, generation: onDevice }] of done.entries()) {
      const { droppedTokens, beyondClip, embeddings, drawUnseeded, unetCalls, timings } = onDevice.generation;
      const spent = modelRunMs(onDevice.model) - onDevice.modelRunMsBefore;
      const result = {
        pixels: flagged?.[i] && this.safety === 'block' ? black(pictures[i]!) : pictures[i]!,
        droppedTokens,
        beyondClip,
        embeddings,
        drawUnseeded,
        unetCalls,
        unusedLoraKeys: onDevice.model.unusedLoraKeys ?? 0,
        loraWay: loraWayOf(onDevice.model),
        ...(flagged && { flagged: flagged[i]! }),
        modelLoadMs: onDevice.modelLoadMs,
        timings,
        modelRunMs: spent,
      };
      this.send({ type: 'done', id, result });
    }
  }

  /** What the model's safety checker says of these pictures; undefined where there is none, or none is asked. */
  private async check(
    { folder: { safetyChecker }, sessions }: Model,
    done: readonly Running<OnDevice>[],
    pictures: readonly Pixels[],
  ): Promise<boolean[] | undefined> {
    if (!safetyChecker) return undefined;
    const start = performance.now();
    const flagged = await flaggedOf(safetyChecker, sessions.safety_checker!, pictures);
    const ms = performance.now() - start;
    for (const { generation } of done) generation.generation.timings.safetyCheck = ms;
    return flagged;
  }

  failed(id: number, error: unknown): void {
    // A request that runs out of memory beside others may have enough of it alone: a new worker will show.
    if (isOutOfMemory(error) && this.running().length > 0) throw error;
    if (isDeviceLost(error)) throw error;
    const code = isOutOfMemory(error)
      ? 'too_large_for_device'
      : error instanceof ModelChangingError
        ? 'model_changing'
        : error instanceof LoraError
          ? 'lora_not_runnable'
          : error instanceof ModelFolderError
            ? 'model_not_runnable'
            : 'internal';
    this.reportMemory();
    this.send({ type: 'failed', id, code, message: error instanceof Error ? error.message : String(error) });
  }

  aborted(id: number): void {
    this.reportMemory();
    this.send({ type: 'aborted', id });
  }

  /** Called between steps. */
  async releaseRetired(): Promise<void> {
    const models = this.running().map(({ generation }) => generation.model);
    await this.store.releaseRetired(new Set(models.flatMap((model) => [model, model.base ?? model])));
  }

  private modelsInUse(): Set<string> {
    return new Set(this.running().map(({ generation }) => generation.model.folder.name));
  }

  private async tellProgress(one: OnDevice): Promise<void> {
    const { message, generation } = one;
    const { index, unetCalls, scheduler } = generation;
    const steps = unetCalls + scheduler.timesteps.length - index;
    const preview = message.preview ? await this.preview(one) : undefined;
    const progress = { step: unetCalls, steps, ...(preview && { preview }) };
    this.send({ type: 'progress', id: message.id, progress });
  }

  private async preview({ model, generation }: OnDevice): Promise<Pixels> {
    if (model.sessions.tiny_decoder) return tinyPreviewOf(model, generation);
    const own = model.base ?? model; // LoRAs leave the VAE alone
    // Fitted when somebody wants a preview: a large model's encoder takes seconds on a CPU, which a start need not wait for.
    const map = this.previews.get(own) ?? (await fitPreview(own));
    this.previews.set(own, map);
    return previewOf(map, generation);
  }

  /** Before a request's end, so that whoever hears of that knows what it has left. */
  private reportMemory(): void {
    this.send(memoryReport(this.device));
  }
}

/** In the place of a picture that is kept back, as diffusers has it: it never leaves the worker. */
const black = ({ data, width, height }: Pixels): Pixels => ({ data: new Uint8Array(data.length), width, height });

function haveOneSize(a: GenerateMessage, b: GenerateMessage): boolean {
  return isOf(a.request.pixels, b.request.pixels);
}

function loraWayOf({ base, branches }: Model): LoraWay {
  if (branches) return 'branched';
  return base ? 'folded' : 'none';
}

/** What its process has, and what its device can still give. */
export function memoryReport({ memory }: Device): FromWorker {
  return { type: 'memory', bytes: process.memoryUsage.rss(), freeBytes: memory.free?.() };
}

function modelRunMs(model: Model): number {
  return Object.values(model.sessions).reduce((sum, session) => sum + session.runMs, 0);
}
