// What files look like from outside: enough to notice that one is another file now, or is being written.

import { type Stats, statSync } from 'node:fs';

/** Inode, size and time. */
export const stampOf = ({ ino, size, mtimeMs }: Pick<Stats, 'ino' | 'size' | 'mtimeMs'>): string =>
  `${ino} ${size} ${mtimeMs}`;

/** By path; links are followed. */
export function stampFiles(paths: Iterable<string>): ReadonlyMap<string, string> {
  return new Map([...paths].map((path) => [path, stampFile(path)]));
}

/** The first of them that looks otherwise now. */
export function changedFile(stamps: ReadonlyMap<string, string>): string | undefined {
  for (const [path, stamp] of stamps) if (stampFile(path) !== stamp) return path;
  return undefined;
}

/** What cannot be looked at has the reason for its stamp. */
export function stampFile(path: string): string {
  try {
    return stampOf(statSync(path));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
