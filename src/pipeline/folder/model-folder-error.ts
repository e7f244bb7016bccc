export { shown } from '../../json-mistakes.js';

/** Why a folder cannot run, in one sentence for the person who put it there. */
export class ModelFolderError extends Error {}

/** It is being written, or was while it was loaded: that passes by itself. */
export class ModelChangingError extends ModelFolderError {
  /** @param what happened to its files */
  static because(what: string): ModelChangingError {
    return new ModelChangingError(`${what}; it is read again when its files stand still`);
  }
}
