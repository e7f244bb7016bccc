// The LoRAs of one worker: what is known of the files in LORAS_DIR, read again when they have changed. Lives in the worker.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stampFile } from '../../file-stamps.js';
import { ModelFolderError } from '../../pipeline/folder/model-folder-error.js';
import { familyOfLora } from '../../pipeline/lora/family.js';
import { type FoundLora, findLoras } from '../../pipeline/lora/find-loras.js';
import { type LoraFile, readLora } from '../../pipeline/lora/lora-file.js';
import { triggerWordsOf } from '../../pipeline/lora/trigger-words.js';
import type { FolderDigest, LoraEntry } from '../shared/messages.js';

interface Known {
  readonly path: string;
  readonly stamp: string;
  readonly entry: LoraEntry;
}

export interface LoraStoreEvents {
  /** It hashes a file, which can take long: told at each part of it. */
  reading(): void;
  /** A file was hashed: who is told does not need to have it hashed again. */
  read(lora: LoraEntry): void;
}

export class LoraStore {
  private known: ReadonlyMap<string, Known> = new Map();

  /** @param digests of files that did not change since, by name */
  constructor(
    private readonly lorasDir: string,
    private readonly digests: Readonly<Record<string, FolderDigest>>,
    private readonly events: LoraStoreEvents = { reading() {}, read() {} },
  ) {}

  get loras(): LoraEntry[] {
    return [...this.known.values()].map(({ entry }) => entry);
  }

  /** Reads what is new or has changed. Never fails. @returns whether anything is known that was not known before */
  async look(): Promise<boolean> {
    const before = JSON.stringify(this.loras);
    const known = new Map<string, Known>();
    for (const found of findLoras(this.lorasDir)) {
      const stamp = stampFile(found.path);
      const same = this.known.get(found.name);
      const stays = same?.stamp === stamp && same.path === found.path;
      const entry = stays ? same.entry : await this.read(found, stamp);
      if (!known.has(found.name)) known.set(found.name, { path: found.path, stamp, entry });
    }
    this.known = known;
    return JSON.stringify(this.loras) !== before;
  }

  /**
   * @param digest that it must have
   * @throws ModelFolderError when it is another file now, or gone
   */
  open(name: string, digest: string): LoraFile {
    const known = this.known.get(name);
    const same = known?.entry.runnable && known.entry.digest === digest && known.stamp === stampFile(known.path);
    if (same) return readLora(known.path);
    throw new ModelFolderError(`the LoRA ${name} has changed since the request came; send it again`);
  }

  private async read({ name, path, refusal }: FoundLora, stamp: string): Promise<LoraEntry> {
    try {
      if (refusal) throw new ModelFolderError(refusal);
      const file = readLora(path);
      const told = this.digests[name];
      const isTold = told?.stamp === stamp;
      const digest = isTold ? told.digest : await digestOf(path, this.events.reading);
      if (stampFile(path) !== stamp) {
        throw new ModelFolderError('it changes while it is read; it is tried again when it stays as it is');
      }
      const rank = Math.max(...file.modules.map((module) => module.rank));
      const triggerWords = triggerWordsOf(file.metadata);
      const entry: LoraEntry = { name, runnable: true, family: familyOfLora(file), rank, triggerWords, digest, stamp };
      if (!isTold) this.events.read(entry);
      return entry;
    } catch (error) {
      const message = String(error instanceof Error ? error.message : error).split('\n')[0]!;
      return {
        name,
        runnable: false,
        reason: error instanceof ModelFolderError ? message : `it cannot be read: ${message}`,
      };
    }
  }
}

/** Bytes of a file between two signs of life. */
const partBytes = 2 ** 24;

async function digestOf(path: string, reading: () => void): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path, { highWaterMark: partBytes })) {
    reading();
    hash.update(part as Buffer);
  }
  return hash.digest('hex');
}
