// The generators' files in MODELS_DIR, looked at again and again. Untrusted, as all that lies there: bounded before it is read.

import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { stampOf } from '../../file-stamps.js';
import { type BrokenGenerator, type Generator, generatorEnding, parseGenerator } from './generator.js';

const maxFiles = 1000;
const maxFileBytes = 65_536;
const maxPictureBytes = 1_048_576;

interface Entry {
  readonly found: Generator | BrokenGenerator;
  /** Its file, and its picture. */
  readonly files: readonly string[];
  /** What these looked like when they were read. */
  readonly stamp: string;
}

export class GeneratorFiles {
  /** By file. */
  private entries: ReadonlyMap<string, Entry> = new Map();
  private timer: NodeJS.Timeout | undefined;
  private looking = false;

  /** @param onFault told of each file that is wrong, when it is read */
  constructor(
    private readonly modelsDir: string,
    private readonly onFault: (broken: BrokenGenerator) => void = () => {},
  ) {}

  /** In the names' order. */
  get found(): readonly (Generator | BrokenGenerator)[] {
    return [...this.entries.values()].map(({ found }) => found);
  }

  /** Reads what is new or has changed. Never fails: a folder that cannot be read has no generators, and the models say why. */
  async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      const names = await readdir(this.modelsDir).catch(() => []);
      const files = names.filter((name) => name.endsWith(generatorEnding) && !name.startsWith('.')).sort();
      const now = new Map<string, Entry>();
      for (const file of files.slice(0, maxFiles)) {
        const known = this.entries.get(file);
        const same = known && known.stamp === (await this.stampOf(known.files));
        now.set(file, same ? known : await this.read(file));
      }
      this.entries = now;
    } finally {
      this.looking = false;
    }
  }

  /** Looks again after each time. */
  watch(ms: number): void {
    this.timer = setInterval(() => this.look(), ms).unref();
  }

  close(): void {
    clearInterval(this.timer);
  }

  /** @throws Error with a sentence without its end */
  picture(file: string): Promise<Buffer> {
    return readBounded(join(this.modelsDir, file), file, maxPictureBytes);
  }

  private async read(file: string): Promise<Entry> {
    const name = file.slice(0, -generatorEnding.length);
    const files = [file];
    let found: Generator | BrokenGenerator;
    try {
      const bytes = await readBounded(join(this.modelsDir, file), file, maxFileBytes);
      found = parseGenerator(name, file, bytes.toString(), createHash('sha256').update(bytes).digest('hex'));
      const { picture } = found;
      if (picture !== undefined) {
        files.push(picture);
        checkFile(await this.statOf(picture), picture, maxPictureBytes);
      }
    } catch (error) {
      found = { name, reason: (error as Error).message };
      this.onFault(found);
    }
    return { found, files, stamp: await this.stampOf(files) };
  }

  private async stampOf(files: readonly string[]): Promise<string> {
    const stats = await Promise.all(files.map((file) => this.statOf(file)));
    // The time of its rights too: one that may be read at last is.
    return stats.map((one) => one && `${stampOf(one)} ${one.ctimeMs}`).join('|');
  }

  private statOf(file: string): Promise<Stats | undefined> {
    return stat(join(this.modelsDir, file)).catch(() => undefined);
  }
}

function checkFile(stats: Stats | undefined, file: string, maxBytes: number): void {
  if (!stats) throw new Error(`${file} is missing`);
  if (!stats.isFile()) throw new Error(`${file} is not a file`);
  if (stats.size > maxBytes) throw new Error(`${file} has ${stats.size} bytes; at most ${maxBytes} are read`);
}

/** Not to block: what was a file a moment ago may be a FIFO now. */
async function readBounded(path: string, file: string, maxBytes: number): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${file} cannot be read: ${error.code}`);
  });
  try {
    const stats = await handle.stat();
    checkFile(stats, file, maxBytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(stats.size), 0, stats.size, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
