// Which bytes a model folder holds: the digest that answers and /models tell, and the stamp that spares hashing them again.

import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { ModelFolderError } from './model-folder-error.js';

/** What a folder may hold at most: whoever points at a whole disk is told so. */
const most = { files: 10_000, bytes: 256 * 2 ** 30, depth: 16 };

/** Names, sizes and times of a folder's files: while they stay, so does the digest. @throws ModelFolderError */
export function stampFolder(path: string): string {
  return filesOf(path)
    .map(({ name, stat }) => `${name} ${stat.size} ${stat.mtimeMs}`)
    .join('\n');
}

/** Bytes of all files of a folder: nearly all of them are weights. */
export function bytesOfFolder(path: string): number {
  return filesOf(path).reduce((sum, { stat }) => sum + stat.size, 0);
}

/**
 * sha256 over the names and bytes of all files of a folder: the same digest, the same model.
 * @throws ModelFolderError when they change meanwhile
 */
export async function digestFolder(path: string): Promise<string> {
  const before = stampFolder(path);
  const hash = createHash('sha256');
  for (const { name, stat } of filesOf(path)) {
    hash.update(`${name}\0${stat.size}\0`);
    for await (const chunk of createReadStream(join(path, name))) hash.update(chunk as Buffer);
  }
  if (stampFolder(path) === before) return hash.digest('hex');
  throw new ModelFolderError('its files change while they are read; it is tried again when they stay as they are');
}

interface FolderFile {
  readonly name: string;
  readonly stat: Stats;
}

/** Regular files, links followed. What begins with a dot is somebody's own: Git's, or a download's. */
function filesOf(path: string): FolderFile[] {
  const files: FolderFile[] = [];
  collect(path, '', [], files);
  const bytes = files.reduce((sum, { stat }) => sum + stat.size, 0);
  if (bytes > most.bytes) throw new ModelFolderError(`it holds ${bytes} bytes; at most ${most.bytes} are read`);
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @param above the folders that it lies in: a link to one of them is not followed again */
function collect(root: string, folder: string, above: readonly string[], files: FolderFile[]): void {
  const real = realpathSync(join(root, folder));
  if (above.includes(real)) return;
  if (above.length === most.depth)
    throw new ModelFolderError(`it holds folders in folders, more than ${most.depth} deep`);
  for (const entry of readdirSync(join(root, folder)).filter((name) => !name.startsWith('.'))) {
    const name = folder === '' ? entry : join(folder, entry);
    const stat = followed(join(root, name));
    if (stat?.isDirectory()) collect(root, name, [...above, real], files);
    if (!stat?.isFile()) continue;
    files.push({ name, stat });
    if (files.length > most.files) throw new ModelFolderError(`it holds more than ${most.files} files`);
  }
}

/** Undefined for a link that leads nowhere, or in a circle. */
function followed(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
