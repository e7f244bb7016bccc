// What of a model is not as its manifest says.

import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { dirname, join } from 'node:path';
import { digestsOf } from './digests.js';
import type { Manifest } from './manifest.js';

export interface Differences {
  readonly missing: readonly string[];
  /** Of another size or digest, or no regular file. */
  readonly changed: readonly string[];
  /** What is there and was not pulled. */
  readonly extra: readonly string[];
}

/** @param path of the model */
export function bySize(path: string, { files }: Manifest): Differences {
  const folder = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const root = folder ? path : dirname(path);
  const stats = new Map(files.map((file) => [file.path, lstatSync(join(root, file.path), { throwIfNoEntry: false })]));
  const known = new Set(files.map((file) => file.path));
  const differs = (stat: Stats, bytes: number) => !stat.isFile() || stat.size !== bytes;
  return {
    missing: files.filter((file) => !stats.get(file.path)).map((file) => file.path),
    changed: files
      .filter((file) => stats.get(file.path) && differs(stats.get(file.path)!, file.bytes))
      .map((file) => file.path),
    extra: folder ? filesBelow(path).filter((file) => !known.has(file)) : [],
  };
}

/** Reads every file. */
export async function byDigest(path: string, manifest: Manifest, signal: AbortSignal): Promise<Differences> {
  const { missing, changed, extra } = bySize(path, manifest);
  const folder = lstatSync(path).isDirectory();
  const others: string[] = [];
  for (const file of manifest.files) {
    if (missing.includes(file.path) || changed.includes(file.path)) continue;
    const { sha256 } = await digestsOf(join(folder ? path : dirname(path), file.path), file.bytes, signal);
    if (sha256 !== file.sha256) others.push(file.path);
  }
  return { missing, changed: [...changed, ...others].sort(), extra };
}

/** With `/`. What begins with a dot is somebody's own; links are told and not followed. */
function filesBelow(root: string, folder = ''): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'));
  return entries
    .flatMap((entry) => {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      return entry.isDirectory() ? filesBelow(root, path) : [path];
    })
    .sort();
}
