// What one worker knows of the models in its folder, loaded or not. Lives in the worker.

import type { FoundModels } from '../../pipeline/folder/find-models.js';
import { ModelChangingError } from '../../pipeline/folder/model-folder-error.js';
import type { BrokenModel, ModelInfo } from '../shared/messages.js';
import { broken, type Folders } from './folders.js';

export interface CatalogueEvents {
  /** It reads or hashes a model, which can take long. */
  reading(): void;
  /** What is known of a model has changed. */
  changed(info: ModelInfo | BrokenModel): void;
}

const beingWritten = ModelChangingError.because('its files are being written');

export class Catalogue {
  private readonly entries = new Map<string, ModelInfo | BrokenModel>();
  private found: FoundModels = { paths: new Map() };

  constructor(
    private readonly folders: Folders,
    private readonly events: CatalogueEvents,
  ) {}

  get models(): (ModelInfo | BrokenModel)[] {
    return [...this.entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: string): ModelInfo | BrokenModel | undefined {
    return this.entries.get(name);
  }

  /** Why there are no models, in one sentence without its end. */
  get problem(): string | undefined {
    return this.found.problem;
  }

  /** Whether a model is not read because its files are being written. */
  get isWaiting(): boolean {
    return this.models.some((model) => !model.runnable && model.changing);
  }

  /** Names in the folder when it was last looked at. */
  get names(): string[] {
    return [...this.found.paths.keys()];
  }

  isThere(name: string): boolean {
    return this.found.paths.has(name);
  }

  /** Looks at what is there; reads nothing. */
  find(): void {
    this.found = this.folders.find();
  }

  /** Those that are not there any more. @param keeps which of them stay all the same */
  forgetGone(keeps: (name: string) => boolean): void {
    for (const name of this.entries.keys()) {
      if (this.isThere(name) || keeps(name)) continue;
      this.entries.delete(name);
      this.folders.forget(name);
    }
  }

  async read(names: readonly string[]): Promise<void> {
    const changing = await this.folders.changing(names);
    for (const name of names) {
      this.events.reading();
      this.entries.set(name, changing.has(name) ? broken(name, beingWritten) : this.folders.read(name));
    }
  }

  /** What was read gets its digest: nobody is told of a model without. */
  async hashAll(): Promise<void> {
    for (const [name, info] of this.entries) {
      if (!info.runnable || info.digest !== '') continue;
      this.events.reading();
      const hashed = await this.folders.hashed(info).catch((error) => broken(name, error));
      this.entries.set(name, hashed);
    }
  }

  tell(info: ModelInfo | BrokenModel): void {
    this.entries.set(info.name, info);
    this.events.changed(info);
  }
}
