// The files of a model folder, read as what strangers put there: kind and size are known before anything is opened.

import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { ModelFolderError } from './model-folder-error.js';

/** What Git leaves in the place of a file whose contents were not fetched. */
const lfsPointer = 'version https://git-lfs.github.com/spec/';
const lfsPointerBytes = 1024;

/** Whether a path that a file names leads nowhere out of the folder that it starts from. */
export const staysInside = (path: string): boolean => !path.startsWith('/') && !path.split(/[\\/]/).includes('..');

/** Follows links, as those of a Hugging Face cache. False only for what is not there at all. */
export function isThere(folder: string, file: string): boolean {
  return lstatSync(join(folder, file), { throwIfNoEntry: false }) !== undefined;
}

/**
 * @param file below the folder, with `/`
 * @throws ModelFolderError for what is missing, no regular file, or a pointer of Git LFS
 */
export function checkFile(folder: string, file: string): Stats {
  const path = join(folder, file);
  const stat = statOf(path, file);
  if (!stat) {
    const link = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink();
    throw new ModelFolderError(link ? `${file} is a link that leads nowhere` : `${file} is missing`);
  }
  if (!stat.isFile()) throw new ModelFolderError(`${file} is a ${kindOf(stat)}, not a file`);
  if (stat.size < lfsPointerBytes && readFile(path, file, lfsPointer.length).toString() === lfsPointer) {
    throw new ModelFolderError(`${file} is a Git LFS pointer: run git lfs pull`);
  }
  return stat;
}

/** @throws ModelFolderError as checkFile does, and for a file of more bytes */
export function readText(folder: string, file: string, maxBytes: number): string {
  const { size } = checkFile(folder, file);
  if (size > maxBytes) throw new ModelFolderError(`${file} has ${size} bytes; at most ${maxBytes} are read`);
  return readFile(join(folder, file), file, maxBytes).toString();
}

function statOf(path: string, file: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** At most so many bytes. Not to block: what was a file a moment ago may be a FIFO now. */
function readFile(path: string, file: string, maxBytes: number): Buffer {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const buffer = Buffer.alloc(Math.min(fstatSync(descriptor).size, maxBytes));
      let done = 0;
      for (let count = -1; count !== 0 && done < buffer.length; done += count) {
        count = readSync(descriptor, buffer, done, buffer.length - done, done);
      }
      return buffer.subarray(0, done);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw unreadable(file, error);
  }
}

const unreadable = (file: string, error: unknown) =>
  new ModelFolderError(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);

function kindOf(stat: Stats): string {
  if (stat.isDirectory()) return 'folder';
  if (stat.isFIFO()) return 'FIFO';
  return stat.isSocket() ? 'socket' : 'device';
}
