// FIFO with step batching of equal size and guidance, up to a fixed number of requests: vLLM-Omni 0.26's step execution with
// --max-num-seqs. Requests join between steps; one at the head of the queue that does not fit to those that run holds up all behind it;
// the VAE runs per request. Source: its docs, "Continuous Batching for Step-Wise Diffusion" and "Step Execution". With one at a time
// it is plain FIFO.

import { type Costs, callCost } from './costs.js';
import type { Arrival } from './trace.js';

interface Running {
  readonly index: number;
  left: number;
}

/** @param most requests that share a step @returns when each request is done, ms */
export function runRival(costs: Costs, arrivals: readonly Arrival[], most: number): number[] {
  const done = new Array<number>(arrivals.length);
  let running: Running[] = [];
  let now = 0;
  let next = 0;
  let rows = 0;
  while (next < arrivals.length || running.length > 0) {
    if (running.length === 0) now = Math.max(now, arrivals[next]!.at);
    while (running.length < most && next < arrivals.length && arrivals[next]!.at <= now) {
      const head = arrivals[next]!;
      if (running.length === 0) rows = head.rows;
      if (head.rows !== rows) break;
      now += costs.encodeMs;
      running.push({ index: next++, left: head.calls });
    }
    now += callCost(costs, running.length * rows);
    for (const one of running) {
      one.left--;
      if (one.left > 0) continue;
      now += costs.decodeMs;
      done[one.index] = now;
    }
    running = running.filter(({ left }) => left > 0);
  }
  return done;
}
