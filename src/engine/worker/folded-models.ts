// Models with LoRAs folded into their weights: made when a request asks for them, a few at a time, and gone before any model is.
// Lives in the worker.

import type { LoraUse } from '../../img2img-request.js';
import { type Folded, fold } from '../../pipeline/lora/fold.js';
import { loadFolded, type Model, releaseModel } from '../../pipeline/model.js';
import type { DeviceOptions } from '../../pipeline/onnx/sessions.js';
import { mostFolded } from '../shared/capacity.js';
import { asLoraError } from './lora-error.js';
import type { LoraStore } from './lora-store.js';
import type { Beside, ModelStore } from './model-store.js';

interface Held {
  readonly model: Model;
  readonly bytes: number;
}

export class FoldedModels implements Beside {
  /** By key; the longest unused first. */
  private readonly held = new Map<string, Held>();

  /**
   * @param inUse the models that something runs on
   * @param most sets that are held
   */
  constructor(
    private readonly store: ModelStore,
    private readonly loras: LoraStore,
    private readonly device: DeviceOptions,
    private readonly inUse: () => ReadonlySet<Model>,
    private readonly componentLoaded: (model: string, component: string, ms: number) => void,
    private readonly most = mostFolded,
  ) {}

  get bytes(): number {
    return this.bytesOf([...this.held.values()]);
  }

  get bytesInUse(): number {
    return this.bytesOf(this.heldInUse());
  }

  private bytesOf(some: readonly Held[]): number {
    return some.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  private heldInUse(): Held[] {
    const inUse = this.inUse();
    return [...this.held.values()].filter(({ model }) => inUse.has(model));
  }

  /** Whether a request for these can be prepared now, while what is in use stays. When nothing is in use, any can. */
  hasRoomFor(name: string, loras: readonly LoraUse[]): boolean {
    const inUse = this.inUse();
    if (inUse.size === 0 || this.held.has(keyOf(name, loras))) return true;
    const names = new Set([...inUse].map(({ folder }) => folder.name));
    if (!this.store.hasRoomFor(name, names)) return false;
    // Folded, a model takes at most what it takes by itself.
    return (
      this.heldInUse().length < this.most &&
      this.store.bytesLeft([...names, name]) - this.store.bytesOf([name]) >= this.store.beside.bytesInUse
    );
  }

  /**
   * One set is folded at a time.
   * @param base that is loaded
   * @throws LoraError when they do not fit it, ModelFolderError when they cannot be loaded with it
   */
  async get(base: Model, loras: readonly LoraUse[]): Promise<Model> {
    const { name } = base.folder;
    const inUse = new Set([...this.inUse()].map(({ folder }) => folder.name));
    const key = keyOf(name, loras);
    return (
      (await this.use(key, base)) ??
      this.store.loadBeside(new Set([...inUse, name]), (leave) => this.load(key, base, loras, leave))
    );
  }

  /** One that was made of what the model was before is none. */
  private async use(key: string, base: Model): Promise<Model | undefined> {
    const found = this.held.get(key);
    this.held.delete(key);
    if (!found) return undefined;
    if (found.model.base !== base) {
      await releaseModel(found.model);
      return undefined;
    }
    this.held.set(key, found);
    return found.model;
  }

  private async load(
    key: string,
    base: Model,
    loras: readonly LoraUse[],
    leave: (fits: () => boolean) => Promise<void>,
  ): Promise<Model> {
    const made = await this.use(key, base);
    if (made) return made;
    const folded = this.fold(base, loras);
    const bytes = Object.values(folded.graphs).reduce((sum, { weightBytes }) => sum + weightBytes, 0);
    const fits = () => bytes + this.store.beside.bytes <= this.store.bytesLeft();
    await this.makeRoom(() => this.held.size < this.most);
    await this.store.beside.makeRoom(fits);
    await leave(fits);
    const model = await loadFolded(base, folded, this.device);
    for (const [component, session] of Object.entries(model.sessions)) {
      if (!Object.values(base.sessions).includes(session)) {
        this.componentLoaded(base.folder.name, component, session.loadMs);
      }
    }
    this.held.set(key, { model, bytes });
    return model;
  }

  private fold(base: Model, loras: readonly LoraUse[]): Folded {
    return asLoraError(() =>
      fold(
        base.folder,
        loras.map(({ name, scale, digest }) => ({ name, scale, file: this.loras.open(name, digest) })),
      ),
    );
  }

  async makeRoom(fits: () => boolean): Promise<void> {
    const inUse = this.inUse();
    for (const [key, { model }] of this.held) {
      if (fits()) return;
      if (inUse.has(model)) continue;
      this.held.delete(key);
      await releaseModel(model);
    }
  }
}

const keyOf = (name: string, loras: readonly LoraUse[]) =>
  JSON.stringify([name, ...loras.map(({ digest, scale }) => [digest, scale])]);
