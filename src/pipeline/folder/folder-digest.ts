// Which bytes a model holds: the digest that answers and /models tell, and the stamp that spares hashing them again.

import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { settingsOf } from '../checkpoint/file-names.js';
import type { ModelFolder } from './model-folder.js';

/** Names, sizes and times of a model's files: while they stay, so does the digest. */
export function stampFolder(path: string): string {
  return filesOf(path)
    .map(({ name, stat }) => `${name} ${stat.size} ${stat.mtimeMs}`)
    .join('\n');
}

/** Bytes that a model's weights take once they are loaded: of ONNX parts what their folders hold, nearly all of it weights. */
export function bytesOfModel({ graphs }: Pick<ModelFolder, 'graphs'>): number {
  return Object.values(graphs).reduce((sum, graph) => {
    if (typeof graph !== 'string') return sum + graph.weightBytes;
    return sum + filesOf(dirname(graph)).reduce((bytes, { stat }) => bytes + stat.size, 0);
  }, 0);
}

/** sha256 over the names and bytes of all files of a model: the same digest, the same model. */
export async function digestFolder(path: string): Promise<string> {
  const hash = createHash('sha256');
  for (const { name, file, stat } of filesOf(path)) {
    hash.update(`${name}\0${stat.size}\0`);
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

/** Of a model that is one file: that file, and the settings beside it. */
function filesOf(path: string): { name: string; file: string; stat: Stats }[] {
  const folder = statSync(path).isDirectory();
  const names = folder
    ? readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
    : [basename(path), basename(settingsOf(path))];
  return names.flatMap((name) => {
    const file = join(folder ? path : dirname(path), name);
    const stat = statSync(file, { throwIfNoEntry: false }); // a link may lead nowhere
    return stat?.isFile() ? [{ name, file, stat }] : [];
  });
}
