/** Why a folder cannot run, in one sentence for the person who put it there. */
export class ModelFolderError extends Error {}

/** A value in a sentence: short, and never deep. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
