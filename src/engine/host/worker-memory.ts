// What memory of its device a worker has for the jobs of a model: what is free, and what those before have left to the model.

import { usableShare } from './memory.js';

interface State {
  /** Bytes that the device can still give. */
  readonly free: number;
  /** Bytes that the worker has taken since it was ready; infinite where nobody tells. */
  readonly grown: number;
  /** The largest need of the jobs that have ended, by model, bytes: an arena keeps at most that. */
  readonly largest: ReadonlyMap<string, number>;
}

export class WorkerMemory {
  private largest = new Map<string, number>();
  /** When the first of the jobs that run now began; absent while none runs. */
  private before: State | undefined;

  /**
   * @param free bytes that the device can still give
   * @param grown bytes that the worker has taken since it was ready; undefined where nobody tells
   */
  constructor(
    private readonly free: () => number,
    private readonly grown: () => number | undefined,
  ) {}

  /** A job begins. */
  began(): void {
    this.before ??= this.state();
  }

  /**
   * A job has ended.
   * @param need of it, bytes; undefined where nothing was measured
   * @param isLast whether no other one runs
   */
  ended(model: string, need: number | undefined, isLast: boolean): void {
    this.largest.set(model, Math.max(need ?? 0, this.largest.get(model) ?? 0));
    if (isLast) this.before = undefined;
  }

  /** The model was loaded or has left: its arenas are new, or gone. */
  forget(model: string): void {
    this.largest.delete(model);
  }

  /** The worker has ended. */
  forgetAll(): void {
    this.largest.clear();
    this.before = undefined;
  }

  /**
   * What a job of the model may use now, bytes.
   * @param measured what warm-up has left to the model, bytes
   */
  now(model: string, measured: number): number {
    return roomIn(this.state(), model, measured);
  }

  /** The same once nothing runs: what is short because jobs use it now is waited for. */
  whenIdle(model: string, measured: number): number {
    const now = this.now(model, measured);
    return this.before ? Math.max(now, roomIn(this.before, model, measured)) : now;
  }

  private state(): State {
    return {
      free: this.free(),
      grown: this.grown() ?? Number.POSITIVE_INFINITY,
      largest: new Map(this.largest),
    };
  }
}

/** Of what a job took some is given back, as its decoder's; and of what a worker has grown by some may be another model's. */
function roomIn({ free, grown, largest }: State, model: string, measured: number): number {
  return usableShare * free + Math.max(measured, Math.min(measured + grown, largest.get(model) ?? 0));
}
