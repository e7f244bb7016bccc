// One file of a hub -> the disk: continued where an earlier try ended, and never under its name before its digest was checked.

import { constants, rmSync, statSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { digestsOf } from '../digests.js';
import { ModelsError } from '../models-error.js';
import type { RemoteFile, RemoteRepository } from './hub.js';
import { brokenConnection, type Network, patiently, request, Stall, TryAgain } from './network.js';
import type { FileProgress } from './progress.js';
import { refusal } from './refusals.js';

/**
 * @param folder where it goes, under the name of its digest; `DIGEST.part` until it is whole and checked
 * @returns its path
 * @throws ModelsError
 */
export async function download(
  network: Network,
  repository: RemoteRepository,
  file: RemoteFile,
  folder: string,
  progress: FileProgress,
): Promise<string> {
  const whole = join(folder, file.digest.hex);
  if (sizeOf(whole) === file.bytes) return whole;
  const part = `${whole}.part`;
  let continued = false;
  let anew = false;
  let furthest = 0;
  await patiently(network, async (brought) => {
    if (sizeOf(part) > file.bytes) rmSync(part);
    const start = sizeOf(part);
    progress.at(start);
    if (start < file.bytes || file.bytes === 0) {
      continued ||= start > 0;
      await fetchRest(network, repository, file, part, start, (at) => {
        if (at > furthest) brought();
        furthest = Math.max(furthest, at);
        progress.at(at);
      });
    }
    progress.checking();
    const digest = (await digestsOf(part, file.bytes, network.signal))[file.digest.algorithm];
    if (digest === file.digest.hex) return;
    rmSync(part);
    const sentence = `${file.path} came with another digest than the hub's list says (${digest} and not ${file.digest.hex})`;
    // What was joined of two tries may be of two files.
    if (!continued || anew) throw new ModelsError(`${sentence}; it is not kept`);
    anew = true;
    furthest = 0;
    throw new TryAgain(sentence);
  });
  await rename(part, whole);
  return whole;
}

/** @throws TryAgain when less came than was to come */
async function fetchRest(
  network: Network,
  repository: RemoteRepository,
  file: RemoteFile,
  part: string,
  start: number,
  came: (bytes: number) => void,
): Promise<void> {
  const stall = new Stall(network);
  // A link in the place of the file is not followed.
  const handle = await open(part, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o644);
  let host = new URL(network.endpoint).host;
  try {
    const path = file.path.split('/').map(encodeURIComponent).join('/');
    const url = `${network.endpoint}/${repository.name}/resolve/${repository.commit}/${path}`;
    const range = start > 0 && { range: `bytes=${start}-` };
    const answer = await request(network, url, { 'accept-encoding': 'identity', ...range }, stall.signal);
    host = answer.host;
    const { response } = answer;
    let position = response.status === 200 ? 0 : start; // a host that knows no ranges sends everything
    if (isAnotherPart(response, start, file)) {
      await response.body?.cancel();
      await handle.truncate(0);
      throw new TryAgain(`${host} does not send the rest of ${file.path} from byte ${start} on`);
    }
    if (!response.ok) {
      await response.body?.cancel();
      throw refusal(answer, network, repository, file.path);
    }
    await handle.truncate(position);
    for await (const chunk of response.body ?? []) {
      stall.happened();
      const bytes = chunk as Uint8Array;
      if (position + bytes.length > file.bytes) {
        await handle.truncate(0);
        throw new ModelsError(`${host} sends more of ${file.path} than the ${file.bytes} bytes of the hub's list`);
      }
      for (let done = 0; done < bytes.length; ) {
        done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
      }
      position += bytes.length;
      came(position);
    }
    if (position < file.bytes)
      throw new TryAgain(`${host} ended ${file.path} after ${position} of ${file.bytes} bytes`);
    await handle.sync();
  } catch (error) {
    const { syscall, code } = error as NodeJS.ErrnoException;
    if (syscall !== undefined) throw new ModelsError(`${file.path} cannot be written: ${code}`);
    throw brokenConnection(error, host, network.signal);
  } finally {
    stall.end();
    await handle.close();
  }
}

function isAnotherPart({ status, headers }: Response, start: number, file: RemoteFile): boolean {
  if (status === 416) return true;
  if (status !== 206) return false;
  const [, from, of] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? [];
  return from !== String(start) || !(of === '*' || of === String(file.bytes));
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
