// Which bytes a model holds: the digest that answers and /models tell, and the stamp that spares hashing them again.

import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { settingsOf } from '../checkpoint/file-names.js';
import { stampOf } from './file-stamps.js';
import type { ModelFolder } from './model-folder.js';
import { ModelChangingError, ModelFolderError } from './model-folder-error.js';

/** What a folder may hold at most: whoever points at a whole disk is told so. */
const most = { files: 10_000, bytes: 256 * 2 ** 30, depth: 16 };

/** Names, inodes, sizes and times of a model's files: while they stay, so does the digest. @throws ModelFolderError */
export function stampFolder(path: string): string {
  return filesOf(path)
    .map(({ name, stat }) => `${name} ${stampOf(stat)}`)
    .join('\n');
}

/** When one of its files was last written, ms since 1970. @throws ModelFolderError */
export function lastWritten(path: string): number {
  return filesOf(path).reduce((last, { stat }) => Math.max(last, stat.mtimeMs), 0);
}
/** Bytes that a model's files take. @throws ModelFolderError */
export const bytesOnDisk = (path: string): number => filesOf(path).reduce((sum, { stat }) => sum + stat.size, 0);

/** Bytes that a model's weights take once they are loaded: of ONNX parts what their folders hold, nearly all of it weights. */
export function bytesOfModel({ graphs }: Pick<ModelFolder, 'graphs'>): number {
  return Object.values(graphs).reduce((sum, graph) => {
    if (typeof graph !== 'string') return sum + graph.weightBytes;
    return sum + filesOf(dirname(graph)).reduce((bytes, { stat }) => bytes + stat.size, 0);
  }, 0);
}

/**
 * sha256 over the names and bytes of all files of a model: the same digest, the same model.
 * @throws ModelChangingError when they change meanwhile
 */
export async function digestFolder(path: string): Promise<string> {
  const before = stampFolder(path);
  const hash = createHash('sha256');
  for (const { name, file, stat } of filesOf(path)) {
    hash.update(`${name}\0${stat.size}\0`);
    for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  }
  if (stampFolder(path) === before) return hash.digest('hex');
  throw ModelChangingError.because('its files change while they are read');
}

interface ModelFile {
  /** As the digest knows it. */
  readonly name: string;
  readonly file: string;
  readonly stat: Stats;
}

/** Regular files, links followed. */
function filesOf(path: string): ModelFile[] {
  const files = statSync(path).isDirectory() ? inFolder(path) : alone(path);
  const bytes = files.reduce((sum, { stat }) => sum + stat.size, 0);
  if (bytes > most.bytes) throw new ModelFolderError(`it holds ${bytes} bytes; at most ${most.bytes} are read`);
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A model that is one file: that file, and the settings beside it. */
function alone(path: string): ModelFile[] {
  return [path, settingsOf(path)].flatMap((file) => {
    const stat = followed(file);
    return stat?.isFile() ? [{ name: basename(file), file, stat }] : [];
  });
}

/** What begins with a dot is somebody's own: Git's, or a download's. */
function inFolder(path: string): ModelFile[] {
  const files: ModelFile[] = [];
  collect(path, '', [], files);
  return files;
}

/** @param above the folders that it lies in: a link to one of them is not followed again */
function collect(root: string, folder: string, above: readonly string[], files: ModelFile[]): void {
  const real = realpathSync(join(root, folder));
  if (above.includes(real)) return;
  if (above.length === most.depth)
    throw new ModelFolderError(`it holds folders in folders, more than ${most.depth} deep`);
  for (const entry of readdirSync(join(root, folder)).filter((name) => !name.startsWith('.'))) {
    const name = folder === '' ? entry : join(folder, entry);
    const file = join(root, name);
    const stat = followed(file);
    if (stat?.isDirectory()) collect(root, name, [...above, real], files);
    if (!stat?.isFile()) continue;
    files.push({ name, file, stat });
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
