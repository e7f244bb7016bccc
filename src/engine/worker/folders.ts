// What a worker reads of models, folders and files, and when it is worth reading them again. Lives in the worker.

import { basename, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Provider, SafetyMode } from '../../model-facts.js';
import { type FoundModels, findModels } from '../../pipeline/folder/find-models.js';
import { digestFolder, lastWritten, stampFolder } from '../../pipeline/folder/folder-digest.js';
import type { ModelFolder } from '../../pipeline/folder/model-folder.js';
import { ModelChangingError, ModelFolderError } from '../../pipeline/folder/model-folder-error.js';
import { inspectModel, reasonOf } from '../../pipeline/inspect-model.js';
import { familyForLoras } from '../../pipeline/lora/family.js';
import type { BrokenModel, FolderDigest, ModelInfo } from '../shared/messages.js';
import { encodersLeave, keptBytes, tooLarge, type WeightLimits } from './weight-room.js';

export interface FoldersOptions {
  readonly modelsDir: string;
  /** Absent for the default. */
  readonly lorasDir?: string;
  readonly provider: Provider;
  /** What safety checkers are for; `off` if absent. */
  readonly safety?: SafetyMode;
  /** Of one request; absent where there is no limit. */
  readonly maxSteps?: number | undefined;
  readonly weightLimits?: WeightLimits;
  /** Digests of folders that did not change since, by name: hashing gigabytes takes long. */
  readonly digests: Readonly<Record<string, FolderDigest>>;
}

/** What was written in this time, ms, may be written still: it is looked at again after a pause, ms. */
const recently = { ms: 2000, pauseMs: 250 };

export class Folders {
  /** Also of those that have gone, until they are forgotten. */
  private readonly paths = new Map<string, string>();
  /** What each folder looked like when it was last read, or failed to load. */
  private readonly stamps = new Map<string, string>();
  private readonly digests: Map<string, FolderDigest>;
  private readonly weights = new Map<string, ModelFolder['weightBytes']>();
  /** Digests that are being made, or were. */
  private readonly hashing = new Map<string, Promise<string>>();
  private lastHash: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: FoldersOptions) {
    this.digests = new Map(Object.entries(options.digests));
  }

  find(): FoundModels {
    const found = findModels(this.options.modelsDir, this.options.lorasDir);
    for (const [name, path] of found.paths) this.paths.set(name, path);
    return found;
  }

  pathOf(name: string): string {
    return this.paths.get(name) ?? join(this.options.modelsDir, name);
  }

  /** Bytes that its weights take while it is loaded; 0 for what was not read. */
  bytesOf(name: string): number {
    const weights = this.weights.get(name);
    return weights ? keptBytes(weights, this.limits) : 0;
  }

  /** Whether there is no room to keep its text encoders. */
  encodersLeave(name: string): boolean {
    const weights = this.weights.get(name);
    return weights !== undefined && encodersLeave(weights, this.limits);
  }

  private get limits(): WeightLimits {
    return this.options.weightLimits ?? {};
  }

  hasChanged(name: string): boolean {
    return this.stamps.get(name) !== this.stampOf(name);
  }

  /** A file that was away when the model was loaded makes another stamp when it is back: then it is tried again. */
  failed(name: string): void {
    this.stamps.set(name, this.stampOf(name));
  }

  forget(name: string): void {
    this.paths.delete(name);
    this.stamps.delete(name);
    this.weights.delete(name);
    this.hashing.delete(name);
  }

  /** Those of them whose files are being written: what was written a moment ago is another one after a pause. */
  async changing(names: readonly string[]): Promise<ReadonlySet<string>> {
    const recent = names.filter((name) => this.wasWrittenRecently(name));
    if (recent.length === 0) return new Set();
    const before = recent.map((name) => this.stampOf(name));
    await sleep(recently.pauseMs);
    return new Set(recent.filter((name, i) => this.stampOf(name) !== before[i]));
  }

  /** What a file of a model is called in sentences. */
  nameOf(name: string, file: string): string {
    const [inside, beside] = [this.pathOf(name), this.options.modelsDir].map((from) => relative(from, file));
    return [inside!, beside!].find((path) => path !== '' && !path.startsWith('..')) ?? basename(file);
  }

  /** Never fails: whatever is wrong with a folder is the folder's. A model's digest is empty until `hashed` has it. */
  read(name: string): ModelInfo | BrokenModel {
    this.stamps.set(name, this.stampOf(name));
    try {
      return this.inspect(name);
    } catch (error) {
      return broken(name, error);
    }
  }

  /** The same with its digest, which takes as long as reading its files does. @throws ModelFolderError when they change meanwhile */
  async hashed(info: ModelInfo): Promise<ModelInfo> {
    const digest = info.digest || (await this.hashing.get(info.name))!;
    this.digests.set(info.name, { stamp: info.stamp, digest });
    return { ...info, digest };
  }

  private inspect(name: string): ModelInfo {
    const path = this.pathOf(name);
    const { folder } = inspectModel(path, this.options.provider, this.options.safety);
    const problem = tooLarge(folder.weightBytes, this.limits);
    if (problem !== undefined) throw new ModelFolderError(problem);
    const stamp = stampFolder(path);
    const known = this.digests.get(name);
    const digest = known?.stamp === stamp ? known.digest : '';
    if (digest === '') this.hash(name, path);
    this.weights.set(name, folder.weightBytes);
    const { title, description, kind, exporter, precision, parts, license, size, schedulerConfig, vocabulary } = folder;
    return {
      ...{ name, runnable: true, loaded: false, digest, stamp, rules: folder.family.rules },
      ...{ title, description, kind, exporter, precision, license, size, schedulerConfig },
      parts: parts.map(({ part, format, weights, computes }) => ({ part, format, weights, computes })),
      ...(vocabulary && { vocabulary }),
      ...(folder.textEncodersOf !== undefined && { textEncodersOf: folder.textEncodersOf }),
      loraFamily: familyForLoras(folder) ?? null,
      safetyChecker: folder.hasSafetyChecker,
      ...clamped(folder.defaults, this.options.maxSteps),
    };
  }

  /** One model after another, beside whatever the worker does. */
  private hash(name: string, path: string): void {
    const digest = this.lastHash.then(() => digestFolder(path));
    this.lastHash = digest.catch(() => {});
    this.hashing.set(name, digest);
  }

  /** By this machine's clock; a volume whose clock is another one is believed to stand still. */
  private wasWrittenRecently(name: string): boolean {
    try {
      return Math.abs(Date.now() - lastWritten(this.pathOf(name))) < recently.ms;
    } catch {
      return false;
    }
  }

  /** What cannot be listed has a stamp too. */
  private stampOf(name: string): string {
    try {
      return stampFolder(this.pathOf(name));
    } catch (error) {
      return String(error);
    }
  }
}

/** The model's own, with a note where this server allows fewer steps. */
function clamped(
  defaults: ModelInfo['defaults'],
  maxSteps = Number.POSITIVE_INFINITY,
): Pick<ModelInfo, 'defaults' | 'note'> {
  if (defaults.steps <= maxSteps) return { defaults };
  const note = `its default of ${defaults.steps} steps is more than MAX_STEPS ${maxSteps} of this server, which is taken instead`;
  return { defaults: { ...defaults, steps: maxSteps }, note };
}

/** Whatever is wrong with a folder is the folder's, and never the worker's end. */
export function broken(name: string, error: unknown): BrokenModel {
  const changing = error instanceof ModelChangingError;
  return { name, runnable: false, reason: reasonOf(error), ...(changing && { changing }) };
}
