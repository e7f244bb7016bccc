// The model folders of one worker: what they are, which are loaded, and which leaves when memory is short. Lives in the worker.

import { findModels } from '../../pipeline/folder/find-models.js';
import { bytesOfModel, digestFolder, stampFolder } from '../../pipeline/folder/folder-digest.js';
import { readModelFolder } from '../../pipeline/folder/model-folder.js';
import { ModelFolderError } from '../../pipeline/folder/model-folder-error.js';
import { loadModel, type Model, releaseModel } from '../../pipeline/model.js';
import { UnsupportedSchedulerError } from '../../pipeline/schedulers/schedule.js';
import type { BrokenModel, FolderDigest, ModelInfo } from '../shared/messages.js';
import { rowBudgetFor } from '../shared/row-budget.js';
import type { Warmth } from './warm-up.js';

export interface ModelStoreOptions {
  readonly modelsDir: string;
  readonly cacheDir: string;
  readonly provider: 'cpu' | 'cuda';
  readonly threads: number;
  readonly measureRows: boolean;
  readonly modelMemoryBytes: number;
  /** Digests of folders that did not change since, by name. */
  readonly digests: Readonly<Record<string, FolderDigest>>;
}

export interface ModelStoreEvents {
  loading(): void;
  warmUp(model: Model): Promise<Warmth>;
  /** What is known of a model has changed. */
  changed(info: ModelInfo | BrokenModel): void;
  componentLoaded(model: string, component: string, ms: number): void;
}

export class ModelStore {
  private readonly catalogue = new Map<string, ModelInfo | BrokenModel>();
  private readonly paths = new Map<string, string>();
  private readonly bytes = new Map<string, number>();
  /** The longest unused first. */
  private readonly loaded = new Map<string, Model>();

  constructor(
    private readonly options: ModelStoreOptions,
    private readonly events: ModelStoreEvents,
  ) {}

  get models(): (ModelInfo | BrokenModel)[] {
    return [...this.catalogue.values()];
  }

  /** Looks at all folders and loads the first that can be loaded. */
  async open(): Promise<void> {
    for (const [name, path] of findModels(this.options.modelsDir)) {
      this.paths.set(name, path);
      this.catalogue.set(name, await this.inspect(name, path));
    }
    for (const { name, runnable } of this.models) {
      if (!runnable) continue;
      const loads = await this.get(name, new Set()).then(
        () => true,
        () => false, // told by its place in the catalogue
      );
      if (loads) return;
    }
  }

  /** Whether a model is loaded or can be, while those in use stay. When nothing is in use, any can. */
  hasRoomFor(name: string, inUse: ReadonlySet<string>): boolean {
    if (this.loaded.has(name) || inUse.size === 0) return true;
    return this.bytesOf([...inUse, name]) <= this.options.modelMemoryBytes;
  }

  /** Rows that one UNet call should have at most. Not measured means that others decide how many requests run. */
  rowBudget(name: string, width: number, height: number): number {
    if (!this.options.measureRows) return Number.POSITIVE_INFINITY;
    const info = this.catalogue.get(name);
    return rowBudgetFor((info?.runnable && info.capacities) || [], width, height);
  }

  /**
   * Loads and warms up a model at its first use; the longest unused ones leave for it. One that fails is broken from then on.
   * @param inUse names of those that must stay
   * @throws ModelFolderError
   */
  async get(name: string, inUse: ReadonlySet<string>): Promise<Model> {
    const loaded = this.loaded.get(name);
    if (loaded) {
      this.loaded.delete(name);
      this.loaded.set(name, loaded);
      return loaded;
    }
    const info = this.catalogue.get(name);
    if (!info?.runnable) throw new ModelFolderError(info?.reason ?? `there is no model ${name}`);
    this.events.loading();
    await this.makeRoomFor(name, inUse);
    try {
      const model = await loadModel(this.paths.get(name)!, this.options);
      for (const [component, { loadMs }] of Object.entries(model.sessions)) {
        this.events.componentLoaded(name, component, loadMs);
      }
      const warmth = await this.events.warmUp(model);
      this.loaded.set(name, model);
      this.tell({ ...info, loaded: true, ...warmth });
      return model;
    } catch (error) {
      const told = broken(name, error);
      this.tell(told);
      throw new ModelFolderError(told.reason);
    }
  }

  private async makeRoomFor(name: string, inUse: ReadonlySet<string>): Promise<void> {
    for (const [unused, model] of this.loaded) {
      if (this.bytesOf([...this.loaded.keys(), name]) <= this.options.modelMemoryBytes) return;
      if (inUse.has(unused)) continue;
      this.loaded.delete(unused);
      await releaseModel(model);
      const info = this.catalogue.get(unused);
      if (info?.runnable) this.tell({ ...info, loaded: false });
    }
  }

  private bytesOf(names: Iterable<string>): number {
    return [...new Set(names)].reduce((sum, name) => sum + (this.bytes.get(name) ?? 0), 0);
  }

  private async inspect(name: string, path: string): Promise<ModelInfo | BrokenModel> {
    try {
      const folder = readModelFolder(path, this.options.provider);
      const stamp = stampFolder(path);
      const known = this.options.digests[name];
      const digest = known?.stamp === stamp ? known.digest : await digestFolder(path);
      this.bytes.set(name, bytesOfModel(folder));
      const { title, description, kind, exporter, precision, license, size, defaults, schedulerConfig } = folder;
      const { latentConsistency, guidanceEmbedded } = folder.family;
      const facts = { title, description, kind, exporter, precision, license, size, defaults, schedulerConfig };
      return { name, runnable: true, loaded: false, ...facts, latentConsistency, guidanceEmbedded, digest, stamp };
    } catch (error) {
      return broken(name, error);
    }
  }

  private tell(info: ModelInfo | BrokenModel): void {
    this.catalogue.set(info.name, info);
    this.events.changed(info);
  }
}

/** Whatever is wrong with a folder is the folder's, and never the worker's end. */
function broken(name: string, error: unknown): BrokenModel {
  const expected = error instanceof ModelFolderError || error instanceof UnsupportedSchedulerError;
  const message = String(error instanceof Error ? error.message : error).split('\n')[0]!;
  return { name, runnable: false, reason: expected ? message : `it cannot be read: ${message}` };
}
