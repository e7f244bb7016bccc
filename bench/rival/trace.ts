// What comes in: Poisson arrivals, half of them unguided, strengths uniform in 0.3 to 0.9 of 20 steps.

import { stepsToRun } from '../../src/pipeline/schedulers/index.js';
import { randoms } from '../engine.js';
import { type Costs, callCost } from './costs.js';

export const steps = 20;

export interface Arrival {
  /** ms from the beginning. */
  readonly at: number;
  readonly strength: number;
  readonly calls: number;
  /** In a UNet call: two for a guided request. */
  readonly rows: 1 | 2;
}

/** @param count of requests; the times are those of one arrival per ms on average, for `atRate` to stretch */
export function trace(count: number, seed: number): Arrival[] {
  const random = randoms(seed);
  let at = 0;
  return Array.from({ length: count }, () => {
    at -= Math.log(1 - random());
    const strength = 0.3 + 0.6 * random();
    return { at, strength, calls: stepsToRun(steps, strength), rows: random() < 0.5 ? 1 : 2 };
  });
}

/** The same requests at another rate. @param perMs arrivals; infinite for all at once */
export function atRate(arrivals: readonly Arrival[], perMs: number): Arrival[] {
  return arrivals.map((arrival) => ({ ...arrival, at: arrival.at / perMs }));
}

/** What a request takes alone, ms. */
export function aloneMs(costs: Costs, { calls, rows }: Arrival): number {
  return costs.encodeMs + calls * callCost(costs, rows) + costs.decodeMs;
}

/** Requests per ms that no rule can pass: every row costs what it costs in the fullest call of the curve. */
export function bound(costs: Costs, arrivals: readonly Arrival[]): number {
  const rowMs = Math.min(...Object.keys(costs.callMs).map((rows) => callCost(costs, Number(rows)) / Number(rows)));
  const ms = arrivals.reduce((sum, { calls, rows }) => sum + costs.encodeMs + calls * rows * rowMs + costs.decodeMs, 0);
  return arrivals.length / ms;
}

/** Requests per ms of a device that takes them one at a time and never waits. */
export function plainCapacity(costs: Costs, arrivals: readonly Arrival[]): number {
  return arrivals.length / arrivals.reduce((sum, arrival) => sum + aloneMs(costs, arrival), 0);
}
