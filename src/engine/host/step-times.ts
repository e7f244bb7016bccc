// What steps take, learned from the workers: the base of every expected wait and duration.

import type { Capacity } from '../shared/capacity.js';

interface Learned {
  readonly pixels: number;
  readonly rows: number;
  /** Running mean. */
  ms: number;
}

/** Weight of a new time in the running mean. */
const novelty = 0.1;

export class StepTimes {
  private readonly calls = new Map<string, Learned[]>();
  /** Text and VAE, per picture; rows do not matter. */
  private readonly codecs = new Map<string, Learned[]>();

  /** What was measured at warm-up, for calls that no request has made yet. */
  warmedUp(model: string, capacities: readonly Capacity[]): void {
    for (const { width, height, calls } of capacities) {
      for (const { rows, ms } of calls)
        if (!exact(this.calls.get(model), width * height, rows)) this.called(model, width * height, rows, ms);
    }
  }

  /** One UNet call. */
  called(model: string, pixels: number, rows: number, ms: number): void {
    learn(this.calls, model, pixels, rows, ms);
  }

  /** Everything of one picture that is not UNet calls. */
  coded(model: string, pixels: number, ms: number): void {
    learn(this.codecs, model, pixels, 1, ms);
  }

  /** ms of one UNet call; undefined while nothing is known of the model. */
  callMs(model: string, pixels: number, rows: number): number | undefined {
    return nearest(this.calls.get(model), pixels, rows);
  }

  codecMs(model: string, pixels: number): number {
    return nearest(this.codecs.get(model), pixels, 1) ?? 0;
  }
}

function exact(known: readonly Learned[] | undefined, pixels: number, rows: number): Learned | undefined {
  return known?.find((one) => one.pixels === pixels && one.rows === rows);
}

function learn(all: Map<string, Learned[]>, model: string, pixels: number, rows: number, ms: number): void {
  const known = all.get(model) ?? [];
  all.set(model, known);
  const same = exact(known, pixels, rows);
  if (same) same.ms += novelty * (ms - same.ms);
  else known.push({ pixels, rows, ms });
}

/** The call that is most like it, scaled by its pixels, and by its rows where it has more than were seen. */
function nearest(known: readonly Learned[] | undefined, pixels: number, rows: number): number | undefined {
  const unlikeness = (one: Learned) =>
    4 * Math.abs(Math.log(one.pixels / pixels)) + Math.abs(Math.log(one.rows / rows));
  const best = known?.reduce<Learned | undefined>(
    (best, one) => (best && unlikeness(best) <= unlikeness(one) ? best : one),
    undefined,
  );
  return best && (best.ms * pixels * Math.max(rows, best.rows)) / (best.pixels * best.rows);
}
