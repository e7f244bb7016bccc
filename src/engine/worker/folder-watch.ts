// When it is time to look at the model folders: after a while, or as soon as something says so. Lives in the worker.

import { type FSWatcher, statSync, watch } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Events come in bursts: one look for all that come in this time, ms. */
const burstMs = 200;

/**
 * The system tells of what comes, goes or is renamed in the folder itself, and of files in it that are written. Deeper folders
 * and network volumes are seen by the looks that come after a while.
 */
export class FolderWatch {
  private watcher: FSWatcher | undefined;
  /** Of the folder that is watched: another one may have taken its place. */
  private inode: number | undefined;
  private asked = false;
  private wake = () => {};

  constructor(private readonly folder: string) {}

  /** The next look is due. */
  ask(): void {
    this.asked = true;
    this.wake();
  }

  /** Waits for at most so long. @returns whether the look was asked for */
  async next(ms: number): Promise<boolean> {
    this.watch();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.asked ? 0 : ms).unref();
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    if (!this.asked) return false;
    await sleep(burstMs, undefined, { ref: false });
    this.asked = false;
    return true;
  }

  /** Never fails: where there is nothing to watch, or no watch left, looks come after a while. */
  private watch(): void {
    try {
      const { ino } = statSync(this.folder);
      if (this.watcher && ino === this.inode) return;
      this.close();
      this.watcher = watch(this.folder, { persistent: false }, () => this.ask());
      this.watcher.on('error', () => this.close());
      this.inode = ino;
    } catch {
      this.close();
    }
  }

  private close(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }
}
