// Which sets of LoRAs each worker was asked for last, and what folding one takes: what a request with another set costs beyond
// its steps. So whoever sends many sets waits for them, and not the callers beside. LoRAs that run beside the weights take nothing,
// which their first answer tells.

import type { LoraUse } from '../../img2img-request.js';

/** What is assumed before any was folded, ms. */
const unknownFoldMs = 1000;
/** Sets that are known to run beside the weights, whatever their scales. */
const mostBranched = 1000;
/** Weight of a new time in the running mean. */
const novelty = 0.3;

interface Folding {
  readonly model: string;
  readonly request: { readonly loras?: readonly LoraUse[] | undefined };
}

export class Folds {
  /** By worker; the newest first. */
  private readonly recent = new Map<number, readonly string[]>();
  private readonly ms = new Map<string, number>();
  private readonly branched = new Set<string>();

  /** @param most sets that a worker keeps */
  constructor(private readonly most: number) {}

  sent(worker: number, job: Folding): void {
    if (!this.mayFold(job)) return;
    const key = keyOf(job);
    const others = (this.recent.get(worker) ?? []).filter((other) => other !== key);
    this.recent.set(worker, [key, ...others].slice(0, this.most));
  }

  /** A worker that is new has folded nothing. */
  forget(worker: number): void {
    this.recent.delete(worker);
  }

  /** Whether a worker is likely to have what a job needs. */
  has(worker: number, job: Folding): boolean {
    return !this.mayFold(job) || (this.recent.get(worker) ?? []).includes(keyOf(job));
  }

  /** Its LoRAs ran beside the weights, and will at any scale. */
  neverFolds(job: Folding): void {
    this.branched.add(setOf(job));
    const [first] = this.branched;
    if (this.branched.size > mostBranched) this.branched.delete(first!);
  }

  private mayFold(job: Folding): boolean {
    return job.request.loras !== undefined && !this.branched.has(setOf(job));
  }

  /** What a job waited for its set, ms. */
  folded({ model }: Folding, ms: number): void {
    const known = this.ms.get(model) ?? ms;
    this.ms.set(model, known + novelty * (ms - known));
  }

  /** ms that a job takes beyond its steps. */
  workOf(job: Folding): number {
    if (!this.mayFold(job) || [...this.recent.keys()].some((worker) => this.has(worker, job))) return 0;
    return this.ms.get(job.model) ?? unknownFoldMs;
  }
}

/** Without the scales. */
const setOf = ({ model, request }: Folding) => JSON.stringify([model, request.loras?.map(({ digest }) => digest)]);
const keyOf = ({ model, request }: Folding) => JSON.stringify([model, request.loras]);
