// Which bytes a model folder holds: the digest that answers and /models tell, and the stamp that spares hashing them again.

import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';

/** Names, sizes and times of a folder's files: while they stay, so does the digest. */
export function stampFolder(path: string): string {
  return filesOf(path)
    .map(({ name, stat }) => `${name} ${stat.size} ${stat.mtimeMs}`)
    .join('\n');
}

/** Bytes of all files of a folder: nearly all of them are weights. */
export function bytesOfFolder(path: string): number {
  return filesOf(path).reduce((sum, { stat }) => sum + stat.size, 0);
}

/** sha256 over the names and bytes of all files of a folder: the same digest, the same model. */
export async function digestFolder(path: string): Promise<string> {
  const hash = createHash('sha256');
  for (const { name, stat } of filesOf(path)) {
    hash.update(`${name}\0${stat.size}\0`);
    for await (const chunk of createReadStream(join(path, name))) hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

function filesOf(path: string): { name: string; stat: Stats }[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .sort()
    .flatMap((name) => {
      const stat = statSync(join(path, name), { throwIfNoEntry: false }); // a link may lead nowhere
      return stat?.isFile() ? [{ name, stat }] : [];
    });
}
