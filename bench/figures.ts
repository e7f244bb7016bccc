// Figures that benches share; nothing of the service is loaded for them.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Numbers in [0, 1) that are the same each time. */
export function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.max(0, Math.ceil(q * values.length) - 1)]!;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Writes a bench's results, and leaves the words that somebody wrote below them. @param heading where these begin */
export function writeResults(file: URL, text: string, heading = '## What it says'): void {
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const notes = before.indexOf(`\n${heading}`);
  writeFileSync(file, notes < 0 ? text : text + before.slice(notes));
}
