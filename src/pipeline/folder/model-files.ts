// The files of a model: a folder's, or of a single file that, what stands beside it, and what it borrows.

import { readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { settingsOf } from '../checkpoint/file-names.js';
import { foldersLentTo } from '../checkpoint/lender.js';
import { readJson } from './configs.js';
import { staysInside } from './files.js';
import { ModelFolderError } from './model-folder-error.js';

/** What a folder may hold at most: whoever points at a whole disk is told so. */
const most = { files: 10_000, bytes: 256 * 2 ** 30, depth: 16 };

export interface ModelFile {
  /** As the digest knows it. */
  readonly name: string;
  readonly file: string;
  readonly stat: Stats;
  /** Another model's, which lends it. */
  readonly lent?: boolean;
}

/** Regular files, links followed, in the order of their names. @throws ModelFolderError when they are too many, too large or too deep */
export function filesOf(path: string): ModelFile[] {
  const files = statSync(path).isDirectory() ? filesIn(path) : filesOfSingle(path);
  const bytes = bytesTogether(files);
  if (bytes > most.bytes) throw new ModelFolderError(`it holds ${bytes} bytes; at most ${most.bytes} are read`);
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export const bytesTogether = (files: readonly ModelFile[]): number =>
  files.reduce((sum, { stat }) => sum + stat.size, 0);

/** That file, the settings beside it, and the tiny autoencoder and the text encoders that they name. */
function filesOfSingle(path: string): ModelFile[] {
  const tiny = tinyOf(path);
  const own = [path, settingsOf(path), ...(tiny === undefined ? [] : [tiny])].flatMap((file): ModelFile[] => {
    const stat = followed(file);
    if (stat?.isDirectory()) return below(basename(file), file);
    return stat?.isFile() ? [{ name: basename(file), file, stat }] : [];
  });
  const lent = foldersLentTo(path).flatMap((folder) => below(folder.name, folder.path));
  return [...own, ...lent.map((each) => ({ ...each, lent: true }))];
}

const below = (name: string, folder: string): ModelFile[] =>
  filesIn(folder).map((each) => ({ ...each, name: join(name, each.name) }));

/** What is wrong with the settings is told when they are read as such. */
function tinyOf(path: string): string | undefined {
  try {
    const named: unknown = readJson(dirname(path), basename(settingsOf(path)), {}).tiny_vae?.path;
    return typeof named === 'string' && named !== '' && staysInside(named) ? join(dirname(path), named) : undefined;
  } catch {
    return undefined;
  }
}

/** What begins with a dot is somebody's own: Git's, or a download's. */
function filesIn(path: string): ModelFile[] {
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
