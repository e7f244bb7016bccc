// The models that are loaded: those that serve, the longest unused first, and those that were taken out of service and are
// released after their last step. Lives in the worker.

import { changedFile, stampFiles } from '../../file-stamps.js';
import { type Model, releaseModel } from '../../pipeline/model.js';

interface Serving {
  readonly model: Model;
  /** Of the files that its weights are in: onnxruntime maps those that it can use as they are. */
  readonly stamps: ReadonlyMap<string, string>;
}

export class LoadedModels {
  private readonly serving = new Map<string, Serving>();
  private readonly retired = new Set<Model>();

  get names(): string[] {
    return [...this.serving.keys()];
  }

  get size(): number {
    return this.serving.size;
  }

  has(name: string): boolean {
    return this.serving.has(name);
  }

  peek(name: string): Model | undefined {
    return this.serving.get(name)?.model;
  }

  /** It is the last to leave from here on. */
  use(name: string): Model | undefined {
    const found = this.serving.get(name);
    if (!found) return undefined;
    this.serving.delete(name);
    this.serving.set(name, found);
    return found.model;
  }

  add(model: Model): void {
    this.serving.set(model.folder.name, { model, stamps: stampFiles(model.folder.files) });
  }

  /** A model of its name may be another one. */
  serves(model: Model): boolean {
    return this.serving.get(model.folder.name)?.model === model;
  }

  /** The first of a serving model's files that is not what it was when the model was loaded. */
  changedFile(name: string): string | undefined {
    return changedFile(this.serving.get(name)!.stamps);
  }

  retire(name: string): void {
    this.retired.add(this.serving.get(name)!.model);
    this.serving.delete(name);
  }

  /** Only for what nothing runs on. */
  async release(name: string): Promise<void> {
    const { model } = this.serving.get(name)!;
    this.serving.delete(name);
    await releaseModel(model);
  }

  /** @param inUse what something still runs on */
  async releaseRetired(inUse: ReadonlySet<Model>): Promise<void> {
    for (const model of this.retired) {
      if (inUse.has(model)) continue;
      this.retired.delete(model);
      await releaseModel(model);
    }
  }
}
