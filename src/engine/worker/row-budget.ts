// How many rows a UNet call should have: measured at warm-up, because only the device knows. On a launch-bound GPU the second
// row is nearly free; on a CPU every row costs the same, and a batch would only make each request slower.

import type { Capacity } from '../shared/capacity.js';

/** One UNet call of so many rows. */
export interface CallTime {
  readonly rows: number;
  /** Wall time. */
  readonly ms: number;
  /** What is compared: ms by the device's own clock of costs. */
  readonly cost: number;
}

/** Doubling the rows must make a row at least this much cheaper: less is noise, and rows of others delay everybody. */
const worthwhileGain = 0.08;
const mostRows = 32;

/**
 * Doubles the rows while a row gets cheaper.
 * @param measure times calls of so many rows; undefined when they cannot be afforded
 * @returns the rows where it stopped gaining, and all times
 */
export async function measureRowBudget(
  measure: (rows: number) => Promise<CallTime | undefined>,
): Promise<{ maxRows: number; calls: Capacity['calls'] }> {
  const calls: CallTime[] = [];
  let maxRows = 1;
  for (let rows = 1; rows <= mostRows; rows *= 2) {
    const call = await measure(rows);
    if (!call) break;
    const before = calls.at(-1);
    calls.push(call);
    if (before && call.cost / rows > (1 - worthwhileGain) * (before.cost / before.rows)) break;
    maxRows = rows;
  }
  return { maxRows, calls: calls.map(({ rows, ms }) => ({ rows, ms })) };
}
