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

/** The call that is most like it, at so many pixels, and scaled by its rows where it has more than were seen. */
function nearest(known: readonly Learned[] = [], pixels: number, rows: number): number | undefined {
  const unlikeness = (one: Learned) =>
    4 * Math.abs(Math.log(one.pixels / pixels)) + Math.abs(Math.log(one.rows / rows));
  const [best, ...others] = [...known].sort((a, b) => unlikeness(a) - unlikeness(b));
  if (!best) return undefined;
  const second = others.find((one) => one.rows === best.rows && one.pixels !== best.pixels);
  return (atPixels(best, second, pixels) * Math.max(rows, best.rows)) / best.rows;
}

/** A call costs something whatever its pixels: on a straight line through two sizes, in proportion to the pixels where one is known. */
function atPixels(best: Learned, second: Learned | undefined, pixels: number): number {
  const inProportion = (best.ms * pixels) / best.pixels;
  if (!second) return inProportion;
  const perPixel = Math.max(0, (second.ms - best.ms) / (second.pixels - best.pixels));
  const onTheLine = best.ms + perPixel * (pixels - best.pixels);
  return pixels < best.pixels ? Math.max(onTheLine, inProportion) : onTheLine;
}
