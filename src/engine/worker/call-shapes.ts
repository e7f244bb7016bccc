// How many rows UNet calls have, and whose turn it is, on a device where a call of another shape than the one before costs much more
// than a call. onnxruntime's CUDA provider plans the convolutions of a graph anew for it, also for shapes that came before
// (https://github.com/microsoft/onnxruntime/issues/23006): 0.7 s on an H200, where the call itself takes 13 ms (bench/results-gpu.md).
//
// So shapes stay. Rows are filled up to those of the last call, or run in several such calls, until another number of rows would have
// been so much better, over all calls since, that it pays for the change: the work function algorithm (Borodin, Linial and Saks 1992,
// "An optimal on-line algorithm for metrical task systems"). Crowds that come and go end at the number that suits both.

import type { Capacity } from '../shared/capacity.js';

/** What calls of one model at one size cost. */
export interface CallCosts {
  /** What a call takes more that has another shape than the one before, ms. */
  readonly changeMs: number;
  /** At least one. */
  readonly calls: Capacity['calls'];
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

interface LastCall extends Size {
  /** Absent where shapes cost nothing. */
  rows: number | undefined;
  /** By numbers of rows: what it would have cost to end at them, above the least, ms; no more than a change. */
  readonly work: Map<number, number>;
  /** What the calls of this size have taken since it came, ms. */
  spentMs: number;
}

export interface NextCalls {
  /** Of each call that the wanted rows are run in, the last one filled up; undefined: one call of as many rows as there are. */
  readonly rows: number | undefined;
  /** Whether the first of them changes the shape. */
  readonly changes: boolean;
}

/** Other sizes wait until a size has had calls for so many changes' time: the change, and four times as much of other work. */
const changesPerTurn = 5;
/** A change that takes less than so many calls is not worth filling rows up for, and may be the noise of a measurement. */
const worthCalls = 3;

/** By the session whose calls they are, as each has its own plans. */
export class CallShapes {
  private readonly last = new WeakMap<object, LastCall>();

  /**
   * Whether a call of this size may be next: one that would change the size waits while others use it and have their turn.
   * @param isWanted whether somebody waits for a call of that size on this session
   */
  mayHaveTurn(session: object, size: Size, costs: CallCosts | undefined, isWanted: (size: Size) => boolean): boolean {
    const last = this.last.get(session);
    if (!last || !matters(costs) || isOf(last, size) || !isWanted(last)) return true;
    return last.spentMs >= changesPerTurn * costs.changeMs;
  }

  /** Decides on the next calls, which count as made. */
  next(session: object, { width, height }: Size, wanted: number, costs: CallCosts | undefined): NextCalls {
    const known = this.last.get(session);
    const last =
      known && isOf(known, { width, height }) ? known : { width, height, rows: undefined, work: new Map(), spentMs: 0 };
    this.last.set(session, last);
    // Also after the model was measured anew, by other numbers of rows.
    if (!matters(costs) || !costs.calls.some(({ rows }) => rows === last.rows)) {
      last.rows = undefined;
      last.work.clear();
    }
    if (!matters(costs)) return { rows: undefined, changes: false };
    const { work } = last;
    for (const { rows, ms } of costs.calls) work.set(rows, (work.get(rows) ?? 0) + Math.ceil(wanted / rows) * ms);
    const [best, least] = [...work].reduce((least, one) => (one[1] < least[1] ? one : least));
    for (const [rows, ms] of work) work.set(rows, Math.min(ms - least, costs.changeMs));
    const before = last.rows;
    if (before === undefined || work.get(before)! >= costs.changeMs) last.rows = best;
    return { rows: last.rows, changes: last.rows !== before };
  }

  /** What the calls that were decided on have taken. */
  took(session: object, ms: number): void {
    const last = this.last.get(session);
    if (last) last.spentMs += ms;
  }
}

function matters(costs: CallCosts | undefined): costs is CallCosts {
  return costs !== undefined && costs.changeMs > worthCalls * Math.min(...costs.calls.map(({ ms }) => ms));
}

export const isOf = (a: Size, b: Size): boolean => a.width === b.width && a.height === b.height;
