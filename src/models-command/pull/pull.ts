// `pull`: a repository of a hub, or one file of it -> a model in MODELS_DIR. Files gather in a folder beside, named by their digests,
// and the model gets its name by a rename when all of them are there and checked: a server never sees half of one.

import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Json } from '../../pipeline/folder/configs.js';
import { largestIndex } from '../../pipeline/safetensors/files.js';
import { bySize } from '../differences.js';
import { digestsOf } from '../digests.js';
import { folderManifest, type Manifest, manifestOf, readManifest, writtenManifest } from '../manifest.js';
import { ModelsError } from '../models-error.js';
import { inBytes, type Output } from '../output.js';
import { download } from './download.js';
import { type RemoteFile, type RemoteRepository, readRepository } from './hub.js';
import { checkPath, localName, type Repository } from './names.js';
import type { Network } from './network.js';
import { fileProgress } from './progress.js';
import { selectFile, selectFolder } from './selection.js';

export interface PullOptions {
  readonly modelsDir: string;
  readonly repository: Repository;
  /** One file of the repository that is a whole model. */
  readonly file: string | undefined;
  /** Of the weights, such as `fp16`. */
  readonly variant: string | undefined;
  /** Whether its safety checker is wanted too. */
  readonly safetyChecker: boolean;
  readonly network: Network;
  readonly output: Output;
  /** Bytes that may be written below a folder. */
  freeBytes(folder: string): number;
}

/** What of a manifest says which files a pull takes. */
const wanted = ['repository', 'commit', 'variant', 'safetyChecker'] as const;

/** What is left beside what a pull writes, bytes. */
const spare = 64 * 2 ** 20;

/** @returns the model's path @throws ModelsError */
export async function pull(options: PullOptions): Promise<string> {
  const { modelsDir, repository, file, variant, safetyChecker, network, output } = options;
  if (file !== undefined) checkPath(file);
  if (!statSync(modelsDir, { throwIfNoEntry: false })?.isDirectory()) {
    throw new ModelsError(`MODELS_DIR ${modelsDir} does not exist, or is no folder`);
  }
  try {
    accessSync(modelsDir, constants.W_OK);
  } catch (error) {
    throw new ModelsError(`MODELS_DIR ${modelsDir} cannot be written to: ${(error as NodeJS.ErrnoException).code}`);
  }
  const target = join(modelsDir, localName(repository, file));
  const before = ownBefore(target);
  const remote = await readRepository(network, repository);
  tellAbout(remote, output);
  const asked = {
    repository: remote.name,
    commit: remote.commit,
    ...(variant !== undefined && { variant }),
    ...(safetyChecker && { safetyChecker }),
  };
  if (before && isSame(before, asked) && isWhole(target, before)) {
    output.print(`${target} is that already; \`verify\` checks its files`);
    return target;
  }

  const gathered = join(modelsDir, `.${localName(repository, file)}.pull`);
  makeFolder(gathered);
  const fetched = new Map<RemoteFile, string>();
  const take = async (one: RemoteFile): Promise<string> => {
    const path =
      fetched.get(one) ?? (await download(network, remote, one, gathered, fileProgress(output, one.path, one.bytes)));
    fetched.set(one, path);
    return path;
  };
  const readJson = async (one: RemoteFile): Promise<Json> => {
    if (one.bytes > largestIndex)
      throw new ModelsError(`${one.path} has ${one.bytes} bytes; at most ${largestIndex} are read`);
    return parsed(one.path, readFileSync(await take(one), 'utf8'));
  };
  const chosen = [
    ...new Set(
      file === undefined ? await selectFolder(remote, variant, readJson, safetyChecker) : [selectFile(remote, file)],
    ),
  ];
  checkRoom(chosen, gathered, options.freeBytes(modelsDir));
  for (const one of chosen) await take(one);

  const files: Manifest['files'] = [];
  for (const [one, path] of fetched) {
    const { sha256 } =
      one.digest.algorithm === 'sha256' ? { sha256: one.digest.hex } : await digestsOf(path, one.bytes);
    files.push({ path: file === undefined ? one.path : localName(repository, file), bytes: one.bytes, sha256 });
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  const { license, revision } = remote;
  const manifest: Manifest = { ...asked, revision, ...(license !== undefined && { license }), files };
  network.signal.throwIfAborted();
  if (file === undefined) putFolder(target, before, gathered, fetched, manifest);
  else putFile(target, fetched.get(chosen[0]!)!, manifest);
  rmSync(gathered, { recursive: true });
  output.print(`${target}: ${chosen.length} files, ${inBytes(files.reduce((sum, { bytes }) => sum + bytes, 0))}`);
  return target;
}

/** The manifest of what stands there. @throws ModelsError when that is not a pull's, which is never replaced */
function ownBefore(target: string): Manifest | undefined {
  const stat = lstatSync(target, { throwIfNoEntry: false });
  if (!stat) return undefined;
  const manifest = stat.isSymbolicLink() ? undefined : readManifest(target);
  if (manifest) return manifest;
  throw new ModelsError(`${target} is there, and no pull wrote it; it is not replaced`);
}

const isSame = (before: Manifest, asked: Pick<Manifest, (typeof wanted)[number]>): boolean =>
  wanted.every((key) => before[key] === asked[key]);

function isWhole(target: string, before: Manifest): boolean {
  const { missing, changed } = bySize(target, before);
  return missing.length === 0 && changed.length === 0;
}

function tellAbout({ name, revision, commit, license, gated }: RemoteRepository, { tell }: Output): void {
  tell(`${name}@${revision} is commit ${commit.slice(0, 12)}`);
  tell(license === undefined ? 'licence: the model card names none' : `licence: ${license}`);
  if (gated) tell('it is gated: its terms must have been accepted by the account of HF_TOKEN');
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new ModelsError(`${path} cannot be made: ${(error as NodeJS.ErrnoException).code}`);
  }
  if (!lstatSync(path).isDirectory()) throw new ModelsError(`${path} is a link; it is not followed`);
}

function parsed(path: string, text: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  } catch {
    // Told below.
  }
  throw new ModelsError(`${path} is not a JSON object`);
}

function checkRoom(files: readonly RemoteFile[], gathered: string, free: number): void {
  const sizeOf = (name: string) => statSync(join(gathered, name), { throwIfNoEntry: false })?.size ?? 0;
  const missing = files.reduce((sum, { bytes, digest }) => {
    const there = Math.max(sizeOf(digest.hex), sizeOf(`${digest.hex}.part`));
    return sum + Math.max(0, bytes - there);
  }, 0);
  if (missing + spare <= free) return;
  throw new ModelsError(
    `${inBytes(missing)} are to be written, and the disk has ${inBytes(free)} free, of which ${inBytes(spare)} are left alone`,
  );
}

/** Nothing here waits, so that no signal comes between. */
function putFolder(
  target: string,
  before: Manifest | undefined,
  gathered: string,
  fetched: ReadonlyMap<RemoteFile, string>,
  manifest: Manifest,
): void {
  const made = join(gathered, 'model');
  rmSync(made, { recursive: true, force: true });
  const paths = [...fetched.values()];
  for (const [i, [{ path }, from]] of [...fetched].entries()) {
    const to = join(made, path);
    mkdirSync(dirname(to), { recursive: true });
    // Two files may be the same bytes.
    if (paths.indexOf(from, i + 1) === -1) renameSync(from, to);
    else copyFileSync(from, to);
  }
  writeFileSync(join(made, folderManifest), writtenManifest(manifest));
  const old = join(gathered, 'old');
  rmSync(old, { recursive: true, force: true });
  if (before) {
    // What somebody added stays: settings, most likely.
    for (const path of bySize(target, before).extra.filter((each) => !existsSync(join(made, each)))) {
      mkdirSync(dirname(join(made, path)), { recursive: true });
      copyFileSync(join(target, path), join(made, path));
    }
    renameSync(target, old);
  }
  renameSync(made, target);
}

function putFile(target: string, from: string, manifest: Manifest): void {
  renameSync(from, target);
  const temporary = `${manifestOf(target)}.new`;
  writeFileSync(temporary, writtenManifest(manifest));
  renameSync(temporary, manifestOf(target));
}
