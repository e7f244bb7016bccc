// What lies in EMBEDDINGS_DIR: textual inversions, by the names of their files. Only what is listed is ever opened.

import { type Dirent, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join, sep } from 'node:path';
import { stampOf } from '../../file-stamps.js';
import type { EmbeddingInfo } from '../../model-facts.js';
import { fileExtension } from '../checkpoint/file-names.js';
import { pickle, pickleRefusal } from '../safetensors/files.js';
import { type EmbeddingFile, readEmbedding } from './embedding-file.js';

export interface Embedding extends EmbeddingFile {
  readonly name: string;
}

const most = { files: 1000, nameLength: 100 } as const;
/** A header tells them, comma-separated. */
const goodName = /^[\w .+-]+$/;

interface Known {
  readonly stamp: string;
  readonly info: EmbeddingInfo;
  /** Absent for what cannot be used. */
  readonly embedding?: Embedding;
}

export class EmbeddingLibrary {
  private known = new Map<string, Known>();
  private wholeStamp = '';

  /** @param folder that need not be there */
  constructor(private readonly folder: string) {}

  /** Looks at the folder, and reads the headers of what is new or has changed. @returns whether anything has */
  look(): boolean {
    const known = new Map<string, Known>();
    for (const file of filesIn(this.folder)) {
      const name = file.endsWith(fileExtension) ? file.slice(0, -fileExtension.length) : file;
      const stat = statOf(join(this.folder, file));
      const stamp = stat ? stampOf(stat) : 'gone';
      const before = this.known.get(name);
      known.set(name, before?.stamp === stamp ? before : this.read(name, file, stamp, stat));
    }
    const whole = [...known].map(([name, { stamp }]) => `${name} ${stamp}`).join('\n');
    if (whole === this.wholeStamp) return false;
    this.known = known;
    this.wholeStamp = whole;
    return true;
  }

  /** Another one whenever anything in the folder is another; empty for an empty folder. */
  get stamp(): string {
    return this.wholeStamp;
  }

  get list(): readonly EmbeddingInfo[] {
    return [...this.known.values()].map(({ info }) => info);
  }

  get embeddings(): readonly Embedding[] {
    return [...this.known.values()].flatMap(({ embedding }) => embedding ?? []);
  }

  /** Never fails: whatever is wrong with a file is the file's. */
  private read(name: string, file: string, stamp: string, stat: Stats | undefined): Known {
    const broken = (reason: string): Known => ({ stamp, info: { name, runnable: false, reason } });
    if (pickle.test(file)) return broken(`it ${pickleRefusal}`);
    if (name.length > most.nameLength || !goodName.test(name)) {
      return broken(
        `its name must be of at most ${most.nameLength} letters without accents, digits, spaces and . _ + -`,
      );
    }
    if (!stat?.isFile()) return broken('it is no file, or a link that leads nowhere');
    const path = join(this.folder, file);
    try {
      if (!realpathSync(path).startsWith(realpathSync(this.folder) + sep)) {
        return broken('it is a link that leaves the folder of embeddings');
      }
      const embedding = { name, ...readEmbedding(path, stat.size) };
      const widths = [...embedding.places.values()].map(({ width }) => width);
      return { stamp, embedding, info: { name, runnable: true, vectors: embedding.vectors, widths } };
    } catch (error) {
      const { message } = error as Error;
      return broken(error instanceof RangeError ? message : `it cannot be read: ${message.split('\n')[0]}`);
    }
  }
}

/** In the names' order. What begins with a dot is somebody's own: a download's. */
function filesIn(folder: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
  const isOne = (entry: Dirent) =>
    !entry.isDirectory() &&
    !entry.name.startsWith('.') &&
    (entry.name.endsWith(fileExtension) || pickle.test(entry.name));
  return entries
    .filter(isOne)
    .map(({ name }) => name)
    .sort()
    .slice(0, most.files);
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
