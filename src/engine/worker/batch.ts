// Who runs this step. Lives in the worker; knows requests and rows, no maths: the device does that.
// It takes the device as an argument, so that its rules are tested without a process or a model.

import type { GenerateMessage } from '../shared/messages.js';

/** A request that runs: its state on the device is G. */
export interface Running<G> {
  readonly id: number;
  readonly generation: G;
}

/** What a batch needs of the device. */
export interface BatchDevice<G> {
  /** False while the model of a request has to wait for room in memory. */
  canAdmit(message: GenerateMessage): boolean;
  canPrepareTogether(a: GenerateMessage, b: GenerateMessage): boolean;
  /** Text encoding and VAE for newcomers that can be prepared together, in their order. */
  prepare(messages: readonly GenerateMessage[]): Promise<G[]>;
  /** Why a generation cannot go on: its model is not what it was. */
  lost(generation: G): Error | undefined;
  canShareCall(a: G, b: G): boolean;
  /** Rows that a generation takes in a UNet call. */
  rowsOf(generation: G): number;
  /** False while calls of this generation's size would cost too much, and others of those that run have their turn. */
  mayHaveTurn(generation: G, running: readonly G[]): boolean;
  /** The same of a request that is not prepared yet. */
  mayPrepare(message: GenerateMessage, running: readonly G[]): boolean;
  /** Rows of one UNet call beyond which more rows gain nothing, for calls like this generation's. */
  rowBudget(generation: G): number;
  /** One UNet call. */
  denoise(generations: readonly G[]): Promise<void>;
  isDone(generation: G): boolean;
  canDecodeTogether(a: G, b: G): boolean;
  /** Decodes finished generations and hands them to whoever asked for them. */
  finish(done: readonly Running<G>[]): Promise<void>;
  failed(id: number, error: unknown): void;
  aborted(id: number): void;
}

/** Pictures in one call of the VAE: beyond a few it gains nothing, and memory grows with each. */
const maxVaeBatch = 4;

export class Batch<G> {
  private waiting: GenerateMessage[] = [];
  private inTurn: Running<G>[] = [];
  private readonly abortedIds = new Set<number>();

  constructor(private readonly device: BatchDevice<G>) {}

  get isIdle(): boolean {
    return this.waiting.length === 0 && this.running.length === 0;
  }

  /** The next in turn first. */
  get running(): readonly Running<G>[] {
    return this.inTurn;
  }

  add(message: GenerateMessage): void {
    this.waiting.push(message);
  }

  /** Takes effect at the next step. An id that is not here (any more) is ignored. */
  abort(id: number): void {
    this.abortedIds.add(id);
  }

  /** Between two UNet calls the VAE runs at most once, so that neither newcomers nor leavers stall the others for long. */
  async step(): Promise<void> {
    this.dropAborted();
    this.dropLost();
    if (!(await this.finishDone())) await this.admit();
    await this.denoise();
  }

  private dropAborted(): void {
    for (const { id } of [...this.waiting, ...this.running]) {
      if (this.abortedIds.has(id)) this.device.aborted(id);
    }
    this.waiting = this.waiting.filter(({ id }) => !this.abortedIds.has(id));
    this.inTurn = this.running.filter(({ id }) => !this.abortedIds.has(id));
    this.abortedIds.clear();
  }

  private dropLost(): void {
    for (const one of this.running) {
      const error = this.device.lost(one.generation);
      if (!error) continue;
      this.inTurn = this.running.filter((other) => other !== one);
      this.device.failed(one.id, error);
    }
  }

  /** @returns whether anything was done */
  private async finishDone(): Promise<boolean> {
    const allDone = this.running.filter(({ generation }) => this.device.isDone(generation));
    const [first] = allDone;
    if (!first) return false;
    const done = allDone
      .filter((other) => other === first || this.device.canDecodeTogether(first.generation, other.generation))
      .slice(0, maxVaeBatch);
    this.inTurn = this.running.filter((other) => !done.includes(other));
    await this.together(
      done,
      (some) => this.device.finish(some),
      ({ id }, error) => this.device.failed(id, error),
    );
    return true;
  }

  private async admit(): Promise<void> {
    const running = this.undone().map(({ generation }) => generation);
    const first = this.waiting.find((message) => this.device.mayPrepare(message, running));
    if (!first || !this.device.canAdmit(first)) return;
    const newcomers = this.waiting
      .filter((other) => other === first || this.device.canPrepareTogether(first, other))
      .slice(0, maxVaeBatch);
    this.waiting = this.waiting.filter((other) => !newcomers.includes(other));
    await this.together(
      newcomers,
      async (some) => {
        const generations = await this.device.prepare(some);
        this.inTurn.push(...some.map(({ id }, i) => ({ id, generation: generations[i]! })));
      },
      ({ id }, error) => this.device.failed(id, error),
    );
  }

  /** What fails together is tried one by one, so that a bad request fails alone. */
  private async together<T>(
    all: readonly T[],
    run: (some: readonly T[]) => Promise<void>,
    failed: (one: T, error: unknown) => void,
  ): Promise<void> {
    try {
      await run(all);
    } catch (error) {
      if (all.length === 1) failed(all[0]!, error);
      else for (const one of all) await this.together([one], run, failed);
    }
  }

  private undone(): readonly Running<G>[] {
    return this.running.filter(({ generation }) => !this.device.isDone(generation));
  }

  /** One call for the next in turn and those after it that can share it and fit. Whoever had a step goes to the end. */
  private async denoise(): Promise<void> {
    const undone = this.undone();
    const running = undone.map(({ generation }) => generation);
    const first = undone.find(({ generation }) => this.device.mayHaveTurn(generation, running)) ?? undone[0];
    if (!first) return;
    const budget = this.device.rowBudget(first.generation);
    let rows = 0;
    const inOrder = [first, ...undone.filter((other) => other !== first)];
    const sharing = inOrder.filter((other) => {
      if (other !== first) {
        if (!this.device.canShareCall(first.generation, other.generation)) return false;
        if (rows + this.device.rowsOf(other.generation) > budget) return false;
      }
      rows += this.device.rowsOf(other.generation);
      return true;
    });
    await this.device.denoise(sharing.map(({ generation }) => generation));
    this.inTurn = [...this.running.filter((other) => !sharing.includes(other)), ...sharing];
  }
}
