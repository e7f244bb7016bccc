// Which bytes a model holds: the digest that answers and /models tell, and the stamp that spares hashing them again.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { stampOf } from '../../file-stamps.js';
import { bytesTogether, filesOf } from './model-files.js';
import { ModelChangingError } from './model-folder-error.js';

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

/** Bytes that a model's own files take, without what others lend. @throws ModelFolderError */
export const bytesOnDisk = (path: string): number => bytesTogether(filesOf(path).filter(({ lent }) => !lent));

/**
 * sha256 over the names and bytes of all files of a model: the same digest, the same model. In a thread of its own, which goes on
 * while the model is loaded.
 * @throws ModelChangingError when they change meanwhile
 */
export async function digestFolder(path: string): Promise<string> {
  const before = stampFolder(path);
  const files = filesOf(path).map(({ name, file, stat }) => ({ head: `${name}\0${stat.size}\0`, file }));
  const digest = await inThread(files);
  if (stampFolder(path) === before) return digest;
  throw ModelChangingError.because('its files change while they are read');
}

const hashFiles = `
  const { createHash } = require('node:crypto');
  const { createReadStream } = require('node:fs');
  const { parentPort, workerData } = require('node:worker_threads');
  (async () => {
    const hash = createHash('sha256');
    for (const { head, file } of workerData) {
      hash.update(head);
      for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk);
    }
    parentPort.postMessage(hash.digest('hex'));
  })();`;

async function inThread(files: readonly { readonly head: string; readonly file: string }[]): Promise<string> {
  const thread = new Worker(hashFiles, { eval: true, execArgv: [], workerData: files });
  const [digest] = await once(thread, 'message'); // rejects at the thread's error
  return digest;
}
