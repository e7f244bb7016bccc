// What the kit finds out, written as it comes: one line of JSON an answer, so that a run that is cut short leaves what it has.

import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Question } from './plan.js';

export interface Answer {
  readonly question: Question | 'machine' | 'end';
  /** Of the random model that was asked about. */
  readonly model?: string;
  readonly [figure: string]: unknown;
}

export type Write = (answer: Answer) => void;

const start = performance.timeOrigin;

/** @param since when the kit started, ms since the epoch: each answer tells its time */
export function answersIn(folder: string, since = start): Write {
  mkdirSync(folder, { recursive: true });
  return (answer) => {
    const line = JSON.stringify({ atS: round((Date.now() - since) / 1000, 1), ...answer });
    appendFileSync(join(folder, 'answers.jsonl'), `${line}\n`);
    process.stdout.write(`${line}\n`);
  };
}

export function round(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}
