// Who runs this step. Lives in the worker; knows requests and rows, no maths: the device does that.
// It takes the device as an argument, so that its rules are tested without a process or a model.

import type { GenerateMessage } from './messages.js';

/** What a batch needs of the device; G is a request's state on it. */
export interface BatchDevice<G> {
  prepare(message: GenerateMessage): Promise<G>;
  canShareCall(a: G, b: G): boolean;
  denoise(generations: readonly G[]): Promise<void>;
  isDone(generation: G): boolean;
  /** Decodes a finished generation and hands it to whoever asked for it. */
  finish(id: number, generation: G): Promise<void>;
  failed(id: number, error: unknown): void;
  aborted(id: number): void;
}

export class Batch<G> {
  private waiting: GenerateMessage[] = [];
  private running: { id: number; generation: G }[] = [];
  private readonly abortedIds = new Set<number>();

  /** @param slots how many requests run at the same time */
  constructor(
    private readonly device: BatchDevice<G>,
    private readonly slots: number,
  ) {}

  get isIdle(): boolean {
    return this.waiting.length === 0 && this.running.length === 0;
  }

  add(message: GenerateMessage): void {
    this.waiting.push(message);
  }

  /** Takes effect at the next step. An id that is not here (any more) is ignored. */
  abort(id: number): void {
    this.abortedIds.add(id);
  }

  async step(): Promise<void> {
    this.dropAborted();
    await this.admit();
    await this.denoise();
    await this.finishDone();
  }

  private dropAborted(): void {
    for (const { id } of [...this.waiting, ...this.running]) {
      if (this.abortedIds.has(id)) this.device.aborted(id);
    }
    this.waiting = this.waiting.filter(({ id }) => !this.abortedIds.has(id));
    this.running = this.running.filter(({ id }) => !this.abortedIds.has(id));
    this.abortedIds.clear();
  }

  /** At most one newcomer between two steps, so that it never stalls the running ones for long. */
  private async admit(): Promise<void> {
    if (this.running.length >= this.slots) return;
    const message = this.waiting.shift();
    if (!message) return;
    try {
      this.running.push({ id: message.id, generation: await this.device.prepare(message) });
    } catch (error) {
      this.device.failed(message.id, error);
    }
  }

  /** The oldest request and all that can share its call. Those that cannot wait for their turn. */
  private async denoise(): Promise<void> {
    const first = this.running.find(({ generation }) => !this.device.isDone(generation));
    if (!first) return;
    const sharing = this.running.filter(
      (other) =>
        other === first ||
        (!this.device.isDone(other.generation) && this.device.canShareCall(first.generation, other.generation)),
    );
    await this.device.denoise(sharing.map(({ generation }) => generation));
  }

  private async finishDone(): Promise<void> {
    const done = this.running.find(({ generation }) => this.device.isDone(generation));
    if (!done) return;
    this.running = this.running.filter((other) => other !== done);
    try {
      await this.device.finish(done.id, done.generation);
    } catch (error) {
      this.device.failed(done.id, error);
    }
  }
}
