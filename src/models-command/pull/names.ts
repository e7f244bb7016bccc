// Names that come from a command line or a hub, before they become names of files here.

import { ModelsError } from '../models-error.js';

export interface Repository {
  /** `org/name` */
  readonly name: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

/** As the hub allows them: no name begins or ends with a mark or has two in a row, so that `--` parts names. */
const part = /^[A-Za-z0-9](?:[._-]?[A-Za-z0-9]|_)*$/;
const revisionPattern = /^[A-Za-z0-9][\w./-]{0,199}$/;

/** @param text `org/name` or `org/name@revision` @throws ModelsError */
export function parseRepository(text: string): Repository {
  const [name = '', revision = 'main', ...more] = text.split('@');
  const parts = name.split('/');
  const right = parts.length === 2 && parts.every((each) => part.test(each) && each.length <= 96);
  if (!right || more.length > 0) {
    throw new ModelsError(`REPO is ${JSON.stringify(text)}; it must be org/name or org/name@revision`);
  }
  if (!revisionPattern.test(revision) || revision.split('/').some((each) => each === '' || /^\.+$/.test(each))) {
    throw new ModelsError(`the revision is ${JSON.stringify(revision)}; it must be a branch, a tag or a commit`);
  }
  return { name, revision };
}

/** What a repository, or a file of it, is called in MODELS_DIR: `org--name`, `org--name--file.safetensors`. */
export const localName = ({ name }: Repository, file?: string): string =>
  [...name.split('/'), ...(file === undefined ? [] : file.split('/'))].join('--');

/**
 * A path below a repository, with `/`.
 * @throws ModelsError for one that could leave its folder, or mean another file on another system
 */
export function checkPath(path: unknown): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what no file's name should have
  const odd = /[\\\u0000-\u001f\u007f]|^[A-Za-z]:/;
  const parts = typeof path === 'string' ? path.split('/') : [];
  const right =
    typeof path === 'string' && path.length <= 500 && !odd.test(path) && !parts.some((each) => /^\.{0,2}$/.test(each));
  if (right) return path;
  const told = JSON.stringify(path)?.slice(0, 100);
  throw new ModelsError(
    `the hub names a file ${told}, which is no name of a file below a folder; nothing is downloaded`,
  );
}
