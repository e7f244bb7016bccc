// The models of one worker: which are loaded, and which leaves when memory is short. Lives in the worker.

import type { EmbeddingLibrary } from '../../pipeline/embeddings/library.js';
import { ModelChangingError, ModelFolderError } from '../../pipeline/folder/model-folder-error.js';
import { loadModel, type Model, releaseModel, rested } from '../../pipeline/model.js';
import { callsFor, rowBudgetFor } from '../shared/capacity.js';
import { defaultFirst } from '../shared/default-model.js';
import type { BrokenModel, ModelInfo } from '../shared/messages.js';
import type { CallCosts, Size } from './call-shapes.js';
import { Catalogue } from './catalogue.js';
import { explained } from './cuda-fault.js';
import { broken, Folders, type FoldersOptions } from './folders.js';
import { LoadedModels } from './loaded-models.js';
import type { Warmth } from './warm-up.js';

export interface ModelStoreOptions extends FoldersOptions {
  readonly embeddings?: EmbeddingLibrary;
  /** The worker's, as GpuReading names it; absent on the CPU. */
  readonly gpu?: string | undefined;
  /** The model of requests that name none; absent where none is chosen. */
  readonly defaultModel?: string | undefined;
  readonly cacheDir: string;
  readonly threads: number;
  readonly measureRows: boolean;
  readonly modelMemoryBytes: number;
}

/** What takes memory beside the models, and leaves before any of them does. */
export interface Beside {
  readonly bytes: number;
  readonly bytesInUse: number;
  makeRoom(fits: () => boolean): Promise<void>;
}

export interface ModelStoreEvents {
  loading(): void;
  warmUp(model: Model): Promise<Warmth>;
  /** What is known of a model has changed. */
  changed(info: ModelInfo | BrokenModel): void;
  componentLoaded(model: string, component: string, ms: number): void;
}

export class ModelStore {
  beside: Beside = { bytes: 0, bytesInUse: 0, makeRoom: async () => {} };
  private readonly folders: Folders;
  private readonly catalogue: Catalogue;
  private readonly loaded = new LoadedModels();
  /** What was loaded until its files changed. */
  private readonly again = new Set<string>();
  private loadedMs = 0;
  private loadingSince: number | undefined;
  /** Reading and loading go one after another. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly options: ModelStoreOptions,
    private readonly events: ModelStoreEvents,
  ) {
    this.folders = new Folders(options);
    this.catalogue = new Catalogue(this.folders, { reading: events.loading, changed: events.changed });
  }

  get models(): (ModelInfo | BrokenModel)[] {
    return this.catalogue.models;
  }

  /** Time that has gone into loading models so far, ms: a clock that stands still while none is loaded. */
  get loadClock(): number {
    return this.loadedMs + (this.loadingSince === undefined ? 0 : performance.now() - this.loadingSince);
  }

  /** Why there are no models, in one sentence without its end. */
  get problem(): string | undefined {
    return this.catalogue.problem;
  }

  /** Whether a model is not read because its files are being written. */
  get isWaiting(): boolean {
    return this.catalogue.isWaiting;
  }

  /**
   * Looks at the folders, and reads those that are new or have changed; while none can run, all of them. Loads again what was
   * loaded and has changed, and the default, or the first that can be loaded, when none is.
   * @param isIdle whether nothing runs: else what is loaded is left alone, and nothing is loaded
   * @returns whether anything is known that was not known before
   */
  look(isIdle = () => true): Promise<boolean> {
    return this.inTurn(async () => {
      const { catalogue } = this;
      const known = () => JSON.stringify([catalogue.problem, catalogue.models]);
      const before = known();
      catalogue.find();
      const hopeless = !catalogue.models.some(({ runnable }) => runnable);
      if (isIdle()) this.retireChanged();
      if (isIdle()) await this.releaseRetired(new Set());
      catalogue.forgetGone((name) => this.loaded.has(name));
      await catalogue.read(
        catalogue.names.filter((name) => !this.loaded.has(name) && (hopeless || this.folders.hasChanged(name))),
      );
      await this.loadAgain(isIdle);
      await catalogue.hashAll();
      return known() !== before;
    });
  }

  /**
   * Gives back what pictures have taken of the memory of a CPU's models, which are loaded anew for it, in part.
   * @param restMs since their last picture
   * @param isIdle whether nothing runs: else nothing is given back
   */
  giveBack(restMs: number, isIdle: () => boolean): Promise<void> {
    return this.inTurn(async () => {
      if (this.options.provider !== 'cpu') return;
      for (const name of this.loaded.names) {
        const model = this.loaded.peek(name);
        for (const session of model ? rested(model, restMs) : []) {
          if (!isIdle()) return;
          await this.timed(() => session.giveBack()).catch(() => {}); // files that are gone are noticed where they are looked for
        }
      }
    });
  }

  private retireChanged(): void {
    for (const name of this.loaded.names) {
      if (this.catalogue.isThere(name) && !this.folders.hasChanged(name)) continue;
      this.loaded.retire(name);
      this.again.add(name);
    }
  }

  /** A load takes seconds, in which a request may begin: no further one follows then, and nothing leaves for it any more. */
  private async loadAgain(isIdle: () => boolean): Promise<void> {
    for (const name of this.again) {
      if (!isIdle()) return;
      const info = this.catalogue.get(name);
      if (info && !info.runnable && info.changing) continue;
      this.again.delete(name);
      if (info?.runnable) await this.load(name, allUnless(isIdle)).catch(() => {}); // told by its place in the catalogue
    }
    if (this.loaded.size === 0) await this.loadFirst(isIdle);
  }

  private async loadFirst(isIdle: () => boolean): Promise<void> {
    for (const { name, runnable } of defaultFirst(this.models, this.options.defaultModel)) {
      if (!isIdle()) return;
      if (!runnable) continue;
      const loads = await this.load(name, allUnless(isIdle)).then(
        () => true,
        () => false, // told by its place in the catalogue
      );
      if (loads) return;
    }
  }

  /**
   * Loads these beside what is loaded, as far as there is room for them. One that is not there or does not load stops nothing.
   * @param wanted names, or `auto` for the model of the fewest steps, the first of equals
   */
  preload(wanted: 'auto' | readonly string[]): Promise<void> {
    return this.inTurn(async () => {
      const runnable = this.models.filter((model) => model.runnable);
      const [quickest] = runnable.sort((a, b) => a.defaults.steps - b.defaults.steps);
      const names = wanted !== 'auto' ? wanted : quickest ? [quickest.name] : [];
      for (const name of names.filter((each) => runnable.some((model) => model.name === each))) {
        const inUse = new Set(this.loaded.names);
        if (inUse.size > 0 && this.hasRoomFor(name, inUse)) await this.load(name, inUse).catch(() => {}); // its entry says why
      }
    });
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.last.then(work, work);
    this.last = turn.catch(() => {});
    return turn;
  }

  /** Whether a model is loaded or can be, while those in use stay. When nothing is in use, any can. */
  hasRoomFor(name: string, inUse: ReadonlySet<string>): boolean {
    if (this.loaded.has(name) || inUse.size === 0) return true;
    return this.bytesOf([...inUse, name]) + this.beside.bytesInUse <= this.options.modelMemoryBytes;
  }

  /** Bytes that are left for what is loaded beside the models. @param names of models that stay; all if absent */
  bytesLeft(names: Iterable<string> = this.loaded.names): number {
    return this.options.modelMemoryBytes - this.bytesOf(names);
  }

  /**
   * Loads something beside the models, in turn with them and on their clock.
   * @param leave takes the longest unused models away until it returns true; the default and `keep` stay
   */
  loadBeside<T>(
    keep: ReadonlySet<string>,
    load: (leave: (fits: () => boolean) => Promise<void>) => Promise<T>,
  ): Promise<T> {
    const first = defaultFirst(this.models, this.options.defaultModel).find(({ runnable }) => runnable)?.name;
    return this.inTurn(() =>
      this.timed(() => load((fits) => this.leave((name) => keep.has(name) || name === first, fits))),
    );
  }

  /** Within another load it is a part of that. */
  private async timed<T>(work: () => Promise<T>): Promise<T> {
    if (this.loadingSince !== undefined) return work();
    this.events.loading();
    this.loadingSince = performance.now();
    try {
      return await work();
    } finally {
      this.loadedMs = this.loadClock;
      this.loadingSince = undefined;
    }
  }

  /** Rows that one UNet call should have at most. Not measured means that others decide how many requests run. */
  rowBudget(name: string, width: number, height: number): number {
    if (!this.options.measureRows) return Number.POSITIVE_INFINITY;
    const info = this.catalogue.get(name);
    return rowBudgetFor((info?.runnable && info.capacities) || [], width, height);
  }

  /** What calls of a size cost, where changes of their shape were measured, and rows one by one. */
  callCosts(name: string, { width, height }: Size): CallCosts | undefined {
    const info = this.catalogue.get(name);
    if (!info?.runnable || info.changeMs === undefined) return undefined;
    const calls = callsFor(info.capacities ?? [], width, height);
    return calls.some(({ rows }) => rows === 1) ? { changeMs: info.changeMs, calls } : undefined;
  }

  /**
   * Loads and warms up a model at its first use; the longest unused ones leave for it. One that fails is broken from then on.
   * @param inUse names of those that must stay
   * @throws ModelFolderError
   */
  async get(name: string, inUse: ReadonlySet<string>): Promise<Model> {
    const loaded = this.loaded.use(name);
    if (!loaded) return this.inTurn(() => this.load(name, inUse));
    const change = this.changeOf(loaded);
    if (change) throw change;
    return loaded;
  }

  /** One that serves, without a use of it. */
  loadedModel(name: string): Model | undefined {
    return this.loaded.peek(name);
  }

  /**
   * Takes a model out of service when one of the files that its weights are in has changed since it was loaded: written over, a
   * mapped file gives pictures of zeros, and truncated, it kills the process that reads it.
   * @returns why nothing may run on the model any more
   */
  changeOf(model: Model): ModelChangingError | undefined {
    const { name } = model.folder;
    if (!this.loaded.serves(model.base ?? model))
      return ModelChangingError.because('its files changed while it was loaded');
    const file = this.loaded.changedFile(name);
    if (file === undefined) return undefined;
    const change = ModelChangingError.because(`${this.folders.nameOf(name, file)} changed while the model was loaded`);
    this.loaded.retire(name);
    this.again.add(name);
    this.catalogue.tell(broken(name, change));
    return change;
  }

  /** @param inUse what something still runs on */
  releaseRetired(inUse: ReadonlySet<Model>): Promise<void> {
    return this.loaded.releaseRetired(inUse);
  }

  private async load(name: string, inUse: Names): Promise<Model> {
    const loaded = this.loaded.use(name);
    if (loaded) return loaded;
    if (this.folders.hasChanged(name)) await this.catalogue.read([name]);
    const info = this.catalogue.get(name);
    if (!info?.runnable) throw refusal(info, name);
    return this.timed(() => this.loadNow(info, inUse));
  }

  private async loadNow(info: ModelInfo, inUse: Names): Promise<Model> {
    const { name } = info;
    let model: Model | undefined;
    try {
      await this.makeRoomFor(name, inUse);
      model = await loadModel(this.folders.pathOf(name), this.options, this.options.embeddings, this.options.safety);
      if (this.folders.encodersLeave(name)) model = { ...model, aroundEncoding: this.loadedForEncoding };
      for (const [component, { loadMs }] of Object.entries(model.sessions)) {
        this.events.componentLoaded(name, component, loadMs);
      }
      const warmth = await this.events.warmUp(model);
      const hashed = await this.folders.hashed(info);
      if (this.folders.hasChanged(name)) throw ModelChangingError.because('its files changed while it was loaded');
      this.loaded.add(model);
      this.catalogue.tell({ ...hashed, loaded: true, ...warmth });
      return model;
    } catch (error) {
      const told = broken(name, await explained(error, this.options));
      this.catalogue.tell(told);
      if (!told.changing) this.folders.failed(name);
      if (model) await releaseModel(model);
      throw refusal(told, name);
    }
  }

  /** Where there is no room to keep them. Nothing else runs on them meanwhile: prompts are encoded one call after another. */
  private readonly loadedForEncoding: NonNullable<Model['aroundEncoding']> = async (encoders, encode) => {
    await this.timed(async () => {
      for (const encoder of encoders) await encoder.loadAgain();
    });
    try {
      return await encode();
    } finally {
      for (const encoder of encoders) await encoder.release();
    }
  };

  private async makeRoomFor(name: string, inUse: Names): Promise<void> {
    const fits = () => this.bytesOf([...this.loaded.names, name]) + this.beside.bytes <= this.options.modelMemoryBytes;
    await this.beside.makeRoom(fits);
    await this.leave((unused) => inUse.has(unused), fits);
  }

  private async leave(stays: (name: string) => boolean, fits: () => boolean): Promise<void> {
    for (const unused of this.loaded.names) {
      if (fits()) return;
      if (stays(unused)) continue;
      await this.loaded.release(unused);
      const info = this.catalogue.get(unused);
      if (info?.runnable) this.catalogue.tell({ ...info, loaded: false });
    }
  }

  bytesOf(names: Iterable<string>): number {
    return [...new Set(names)].reduce((sum, name) => sum + this.folders.bytesOf(name), 0);
  }
}

type Names = Pick<ReadonlySet<string>, 'has'>;

/** As it is when it is asked. */
const allUnless = (isIdle: () => boolean): Names => ({ has: () => !isIdle() });

/** What cannot run is refused as what it is in the catalogue. */
function refusal(info: BrokenModel | undefined, name: string): ModelFolderError {
  if (!info) return new ModelFolderError(`there is no model ${name}`);
  return info.changing ? new ModelChangingError(info.reason) : new ModelFolderError(info.reason);
}
