// How work that the engine was given can end without a picture: the problem that its client reads, and what it is counted as.
// The compiler holds the table complete; a facade's error follows from the problem.

import type { EngineErrorCode } from '../../engine/host/engine.js';
import type { ProblemCode } from './problem-codes.js';

/** An `outcome` of `img2img_request_duration_seconds`; null for what was refused, and so never accepted. */
export type Outcome = 'error' | 'cancelled' | 'deadline';

export const engineEnds: Readonly<
  Record<EngineErrorCode, { readonly problem: ProblemCode; readonly outcome: Outcome | null }>
> = {
  overloaded: { problem: 'overloaded', outcome: null },
  deadline_unattainable: { problem: 'deadline_unattainable', outcome: null },
  too_large_for_device: { problem: 'too_large_for_device', outcome: null },
  not_ready: { problem: 'not_ready', outcome: null },
  model_not_found: { problem: 'model_not_found', outcome: null },
  shutting_down: { problem: 'draining', outcome: null },
  model_not_runnable: { problem: 'model_not_runnable', outcome: 'error' },
  model_changing: { problem: 'model_changing', outcome: 'error' },
  lora_not_found: { problem: 'lora_not_found', outcome: null },
  lora_not_runnable: { problem: 'lora_not_runnable', outcome: 'error' },
  worker_lost: { problem: 'worker_lost', outcome: 'error' },
  request_kills_worker: { problem: 'request_kills_worker', outcome: 'error' },
  internal: { problem: 'internal', outcome: 'error' },
  deadline_exceeded: { problem: 'deadline_exceeded', outcome: 'deadline' },
  cancelled: { problem: 'internal', outcome: 'cancelled' }, // nobody is left to read it
  interrupted: { problem: 'internal', outcome: 'cancelled' }, // answered by the route that can interrupt
};
