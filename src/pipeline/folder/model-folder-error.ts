/** Why a folder cannot run, in one sentence for the person who put it there. */
export class ModelFolderError extends Error {}

/** It is being written, or was while it was loaded: that passes by itself. */
export class ModelChangingError extends ModelFolderError {
  /** @param what happened to its files */
  static because(what: string): ModelChangingError {
    return new ModelChangingError(`${what}; it is read again when its files stand still`);
  }
}

/** A value in a sentence: short, and never deep. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
