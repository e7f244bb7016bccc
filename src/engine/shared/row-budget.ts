// How many rows a UNet call should have: measured at warm-up, because only the device knows. On a launch-bound GPU the second
// row is nearly free; on a CPU every row costs the same, and a batch would only make each request slower.

/** One UNet call of so many rows. */
export interface CallTime {
  readonly rows: number;
  /** Wall time. */
  readonly ms: number;
  /** What is compared: wall time, or on a CPU the CPU's time, which does not depend on what else runs there. */
  readonly cost: number;
}

/** What a worker found out about calls of one model at one size. */
export interface Capacity {
  readonly width: number;
  readonly height: number;
  /** Undefined where it was not measured, because MAX_CONCURRENT decides. */
  readonly maxRows: number | undefined;
  readonly calls: readonly Omit<CallTime, 'cost'>[];
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

/** The budget for a size that may not have been measured: that of the next larger one, or in proportion to the pixels beyond all. */
export function rowBudgetFor(capacities: readonly Capacity[], width: number, height: number): number {
  const pixels = width * height;
  const bySize = [...capacities].sort((a, b) => a.width * a.height - b.width * b.height);
  const larger = bySize.find((capacity) => capacity.width * capacity.height >= pixels);
  if (larger) return larger.maxRows ?? 1;
  const largest = bySize.at(-1);
  return largest ? Math.max(1, Math.floor(((largest.maxRows ?? 1) * largest.width * largest.height) / pixels)) : 1;
}
