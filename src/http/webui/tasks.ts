// Requests on /sdapi that run now, for `progress` and `interrupt`. A caller sees and stops only its own, on this replica.

import { EngineError, type Progress } from '../../engine/host/engine.js';
import type { Pixels } from '../../pixels.js';

export class Task {
  private readonly startedAt = performance.now();
  private readonly controller = new AbortController();
  private readonly stepsDone: number[];
  private stepsOfOne = 1;
  step = 0;
  preview: Pixels | undefined;

  constructor(
    readonly caller: string,
    /** The client's own name for it: `force_task_id`. */
    readonly id: string | undefined,
    readonly pictures: number,
  ) {
    this.stepsDone = new Array(pictures).fill(0);
  }

  /** Its reason is an EngineError. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  get steps(): number {
    return this.stepsOfOne;
  }

  /** 0..1 over all pictures. */
  get progress(): number {
    return this.stepsDone.reduce((sum, steps) => sum + steps, 0) / (this.pictures * this.stepsOfOne);
  }

  /** Seconds to its end, as far as can be told; 0 before the first step. */
  get eta(): number {
    const elapsed = (performance.now() - this.startedAt) / 1000;
    return this.progress > 0 ? (elapsed * (1 - this.progress)) / this.progress : 0;
  }

  /** How many pictures are through all their steps. */
  get done(): number {
    return this.stepsDone.filter((steps) => steps === this.stepsOfOne).length;
  }

  follow(progress: Progress): void {
    if (progress.phase === 'queued') return;
    this.stepsDone[progress.job] = progress.step;
    this.stepsOfOne = progress.steps;
    this.step = progress.step;
    this.preview = progress.preview ?? this.preview;
  }

  interrupt(): void {
    this.controller.abort(new EngineError('interrupted', 'The request was interrupted.'));
  }
}

export class Tasks {
  private readonly running = new Set<Task>();

  /** @param pictures of the request */
  begin(caller: string, id: string | undefined, pictures: number): Task {
    const task = new Task(caller, id, pictures);
    this.running.add(task);
    return task;
  }

  end(task: Task): void {
    this.running.delete(task);
  }

  /** The caller's tasks, the newest first; with an id only those of that name. */
  of(caller: string, id?: string): Task[] {
    return [...this.running].filter((task) => task.caller === caller && (id === undefined || task.id === id)).reverse();
  }
}
