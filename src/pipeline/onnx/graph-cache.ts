// The folder of patched graphs: a file in it is whole or not there.

import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A file that a process has not finished: its target and the process. */
const unfinished = /\.onnx\.(\d+)$/;

/**
 * @param write makes the file at the path that it gets
 * @throws whatever `write` does, as on a full disk; nothing is left then
 */
export function writeWhole(target: string, write: (path: string) => void): void {
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  const path = `${target}.${process.pid}`;
  try {
    write(path);
    renameSync(path, target);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/** Removes what processes left behind that have ended. Never fails: a cache may be missing, or not ours to write. */
export function removeLeftOvers(cacheDir: string): void {
  try {
    for (const name of readdirSync(cacheDir)) {
      const pid = unfinished.exec(name)?.[1];
      if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(cacheDir, name), { force: true });
    }
  } catch {
    // Nothing can be removed where nothing can be read.
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false; // an earlier process of this number: this one has begun nothing yet
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
