// A job inside the engine, from its admission to its picture.

import type { Queued } from '../../fair-queue.js';
import type { Pixels } from '../../pixels.js';
import type { EngineError } from '../shared/errors.js';
import type { GenerateMessage, Result } from '../shared/messages.js';

export interface AdmittedJob extends Queued {
  /** What a worker gets of it. */
  readonly message: GenerateMessage;
  readonly queuedAt: number;
  readonly pixels: number;
  /** In a UNet call. */
  readonly rows: number;
  /** What it takes on a device as busy as devices are, ms; the work that fairness counts. */
  readonly work: number;
  /** Workers that ended while they ran it. */
  deaths: number;
  /** Set while it runs. */
  startedAt: number;
  /** Nobody waits for it any more. */
  settled: boolean;
  readonly resolve: (result: Result, worker: number) => void;
  readonly reject: (error: EngineError) => void;
  readonly progressed: (progress: { step: number; steps: number; preview?: Pixels }) => void;
}

/** After so many deaths a job runs alone, and after one more it is refused. */
export const deathsBeforeAlone = 2;

export function runsAlone({ deaths }: AdmittedJob): boolean {
  return deaths >= deathsBeforeAlone;
}

/** What is likely to be left of its work, ms: never nothing while it runs. */
export function remainingMs({ work, startedAt }: AdmittedJob, now: number): number {
  return Math.max(work - (now - startedAt), work / 20);
}
