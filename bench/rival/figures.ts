// What is compared on one trace: the engine, plain FIFO, and the rival with the fixed maximum that serves it best on that trace, chosen
// anew for each figure.

import { quantile } from '../engine.js';
import type { Costs } from './costs.js';
import { runOurs } from './ours.js';
import { runRival } from './rival.js';
import { type Arrival, atRate, bound, plainCapacity } from './trace.js';

export const maxima = [1, 2, 4, 8, 16] as const;
export const lightLoads = [0.05, 0.2, 0.4] as const;
export const rivalLoads = [0.8, 0.95] as const;
export const overload = 2.5;

/** Of latencies, ms. */
export interface Spread {
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface Figures {
  /** Requests per second: one at a time without a pause, when all came at once, and what no rule can pass. */
  readonly capacity: { readonly plain: number; readonly ours: number; readonly rival: number; readonly bound: number };
  /** At shares of the plain capacity, our latencies over FIFO's. */
  readonly light: Readonly<Record<string, Spread>>;
  /** At shares of the rival's capacity, our latencies over the rival's. */
  readonly loaded: Readonly<Record<string, Spread>>;
  /** Requests completed until the last one came, at 2.5 times the plain capacity. */
  readonly completed: { readonly ours: number; readonly rival: number; readonly fifo: number };
}

export async function figuresOf(costs: Costs, arrivals: readonly Arrival[]): Promise<Figures> {
  const plain = plainCapacity(costs, arrivals);
  const together = atRate(arrivals, Number.POSITIVE_INFINITY);
  const capacityOf = (done: readonly number[]) => arrivals.length / last(done);
  const ours = capacityOf(await runOurs(costs, together));
  const rival = Math.max(...maxima.map((most) => capacityOf(runRival(costs, together, most))));

  const light: Record<string, Spread> = {};
  for (const load of lightLoads) {
    const coming = atRate(arrivals, load * plain);
    const fifo = spreadOf(coming, runRival(costs, coming, 1));
    light[load] = over(spreadOf(coming, await runOurs(costs, coming)), [fifo]);
  }
  const loaded: Record<string, Spread> = {};
  for (const load of rivalLoads) {
    const coming = atRate(arrivals, load * rival);
    const rivals = maxima.map((most) => spreadOf(coming, runRival(costs, coming, most)));
    loaded[load] = over(spreadOf(coming, await runOurs(costs, coming)), rivals);
  }
  const flood = atRate(arrivals, overload * plain);
  const end = flood.at(-1)!.at;
  const completedOf = (done: readonly number[]) => done.filter((time) => time <= end).length;
  const rivals = maxima.map((most) => completedOf(runRival(costs, flood, most)));
  return {
    capacity: { plain: 1000 * plain, ours: 1000 * ours, rival: 1000 * rival, bound: 1000 * bound(costs, arrivals) },
    light,
    loaded,
    completed: { ours: completedOf(await runOurs(costs, flood)), rival: Math.max(...rivals), fifo: rivals[0]! },
  };
}

/** One request on an idle device: its time over that with batching switched off. */
export async function aloneRatio(costs: Costs, rows: 1 | 2): Promise<number> {
  const arrivals: Arrival[] = [{ at: 0, strength: 0.6, calls: 12, rows }];
  return (await runOurs(costs, arrivals))[0]! / (await runOurs(costs, arrivals, false))[0]!;
}

export function spreadOf(arrivals: readonly Arrival[], done: readonly number[]): Spread {
  const latencies = done.map((time, i) => time - arrivals[i]!.at).sort((a, b) => a - b);
  return {
    mean: latencies.reduce((sum, ms) => sum + ms, 0) / latencies.length,
    p50: quantile(latencies, 0.5),
    p95: quantile(latencies, 0.95),
    p99: quantile(latencies, 0.99),
  };
}

/** Each figure over the best of the others'. */
function over(ours: Spread, others: readonly Spread[]): Spread {
  const ratio = (of: (spread: Spread) => number) => of(ours) / Math.min(...others.map(of));
  return {
    mean: ratio(({ mean }) => mean),
    p50: ratio(({ p50 }) => p50),
    p95: ratio(({ p95 }) => p95),
    p99: ratio(({ p99 }) => p99),
  };
}

function last(times: readonly number[]): number {
  return times.reduce((latest, time) => Math.max(latest, time), 0);
}
