// Models with LoRAs, beside their weights or in them: which of both depends on the model and its LoRAs alone. Lives in the worker.

import type { LoraUse } from '../../img2img-request.js';
import type { Model } from '../../pipeline/model.js';
import type { BranchedLoras } from './branched-loras.js';
import type { FoldedModels } from './folded-models.js';
import { LoraError } from './lora-error.js';
import type { Beside, ModelStore } from './model-store.js';

export class LoraModels implements Beside {
  /** @param inUse the models that something runs on */
  constructor(
    private readonly store: ModelStore,
    private readonly branched: BranchedLoras,
    private readonly folded: FoldedModels,
    private readonly inUse: () => ReadonlySet<Model>,
  ) {
    store.beside = this;
  }

  get bytes(): number {
    return this.branched.bytes + this.folded.bytes;
  }

  get bytesInUse(): number {
    return this.branched.bytesInUse + this.folded.bytesInUse;
  }

  /** Branches leave first, as a file is read sooner than a graph is loaded. */
  async makeRoom(fits: () => boolean): Promise<void> {
    await this.branched.makeRoom(fits);
    await this.folded.makeRoom(fits);
  }

  /** Whether a request for these can be prepared now, while what is in use stays. When nothing is in use, any can. */
  hasRoomFor(name: string, loras: readonly LoraUse[]): boolean {
    const base = this.store.loadedModel(name);
    return (base && this.runBeside(base, loras)) || this.folded.hasRoomFor(name, loras);
  }

  /** Also of those that do not fit, which are refused when they are prepared. */
  private runBeside(base: Model, loras: readonly LoraUse[]): boolean {
    try {
      return this.branched.take(base, loras);
    } catch (error) {
      if (error instanceof LoraError) return true;
      throw error;
    }
  }

  /**
   * The model itself where there are no LoRAs.
   * @throws LoraError when they do not fit the model, ModelFolderError when the model does not load
   */
  async get(name: string, loras: readonly LoraUse[]): Promise<Model> {
    const inUse = new Set([...this.inUse()].map(({ folder }) => folder.name));
    const base = await this.store.get(name, inUse);
    if (loras.length === 0) return base;
    if (!this.branched.take(base, loras)) return this.folded.get(base, loras);
    const get = () => this.branched.get(base, loras, (bytes) => this.hasMade(bytes));
    return this.branched.have(base, loras) ? get() : this.store.loadBeside(new Set([...inUse, name]), get);
  }

  /** No model leaves for a branch. */
  private async hasMade(bytes: number): Promise<boolean> {
    const fits = () => bytes + this.bytes <= this.store.bytesLeft();
    await this.makeRoom(fits);
    return fits();
  }
}
