// What a result in a real control plane depends on: its files, by their digests, so that a later change is seen.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** sha256 of each file, by its path in the repository. */
export function digestsOf(paths: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    paths.map((path) => [
      path,
      createHash('sha256')
        .update(readFileSync(root + path))
        .digest('hex'),
    ]),
  );
}

/** Files of a folder of the repository, without those of its folders. */
export function filesOf(folder: string): string[] {
  return readdirSync(root + folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => `${folder}/${name}`)
    .sort();
}
