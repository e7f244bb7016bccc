// Digests of files on the disk.

import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/**
 * sha256 of a file, and Git's digest of it as a blob.
 * @param bytes that it has, which Git's digest begins with
 */
export async function digestsOf(
  file: string,
  bytes: number,
  signal?: AbortSignal,
): Promise<{ sha256: string; git: string }> {
  const sha256 = createHash('sha256');
  const git = createHash('sha1').update(`blob ${bytes}\0`);
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20, ...(signal && { signal }) })) {
    for (const hash of [sha256, git] as Hash[]) hash.update(chunk as Buffer);
  }
  return { sha256: sha256.digest('hex'), git: git.digest('hex') };
}
