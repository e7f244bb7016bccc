// How many rows UNet calls have, and whose turn it is, on a device where a call of another shape than the one before costs much more
// than a call. onnxruntime's CUDA provider plans the convolutions of a graph anew for it, also for shapes that came before
// (https://github.com/microsoft/onnxruntime/issues/23006): 0.7 s on an H200, where the call takes 13 ms (bench/results-gpu.md).
//
// So shapes stay. Rows are filled up to those of the last call, or run in several such calls, until that has cost as much more than the
// best number of rows would have as changing to it does. That is never more than twice what one would pay who knew the requests to
// come (Karlin, Manasse, Rudolph and Sleator 1988, "Competitive snoopy caching", for the choice between renting and buying).

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
  rows: number;
  /** When its size came, ms. */
  readonly since: number;
  /** By other numbers of rows: what they would have saved since the last change, ms, never less than nothing. */
  readonly saved: Map<number, number>;
}

/** Others of a session wait this many changes' time for their turn: changes take a fifth of it at most. */
const changesPerTurn = 4;

/** By the session whose calls they are, as each has its own plans. */
export class CallShapes {
  private readonly last = new WeakMap<object, LastCall>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Whether a call of this size may be next: those that would change it wait while others have their turn. */
  mayHaveTurn(session: object, size: Size, costs: CallCosts | undefined): boolean {
    const last = this.last.get(session);
    if (!last || !matters(costs) || isOf(last, size)) return true;
    return this.now() - last.since >= changesPerTurn * costs.changeMs;
  }

  /**
   * Rows of each call that the wanted rows are to be run in, the last one filled up; counts as made.
   * @returns undefined where shapes cost nothing: one call of as many rows as there are
   */
  rowsFor(session: object, size: Size, wanted: number, costs: CallCosts | undefined): number | undefined {
    if (!matters(costs)) return undefined;
    const costOf = ({ rows, ms }: Capacity['calls'][number]) => Math.ceil(wanted / rows) * ms;
    const last = this.last.get(session);
    if (!last || !isOf(last, size)) {
      const { rows } = costs.calls.reduce((best, call) => (costOf(call) < costOf(best) ? call : best));
      this.last.set(session, { width: size.width, height: size.height, rows, since: this.now(), saved: new Map() });
      return rows;
    }
    const now = costs.calls.find(({ rows }) => rows === last.rows)!;
    for (const call of costs.calls) {
      last.saved.set(call.rows, Math.max(0, (last.saved.get(call.rows) ?? 0) + costOf(now) - costOf(call)));
    }
    const [rows, saved] = [...last.saved].reduce((most, one) => (one[1] > most[1] ? one : most));
    if (saved > costs.changeMs) {
      last.rows = rows;
      last.saved.clear();
    }
    return last.rows;
  }
}

/** A change that takes no longer than a call is not worth filling rows up for. */
function matters(costs: CallCosts | undefined): costs is CallCosts {
  return costs !== undefined && costs.changeMs > Math.min(...costs.calls.map(({ ms }) => ms));
}

const isOf = (last: Size, { width, height }: Size) => last.width === width && last.height === height;
