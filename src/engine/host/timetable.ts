// When what waits would run. Numbers only.

/** The slots of one worker: how many, and what is left of what runs in them, ms. */
export interface Slots {
  readonly count: number;
  readonly remainingMs: readonly number[];
}

export interface Times {
  readonly startMs: number;
  readonly endMs: number;
}

/** When pieces of work would start and end, from now, if each took the first slot that comes free, in their order. */
export function timetable(workers: readonly Slots[], works: readonly number[]): Times[] {
  const freeAt = workers.flatMap(({ count, remainingMs }) => {
    const running = [...remainingMs].sort((a, b) => a - b);
    const idle = Array<number>(Math.max(0, count - running.length)).fill(0);
    // More may run than there are slots: then the first to end frees none.
    return [...idle, ...running.slice(Math.max(0, running.length - count))];
  });
  return works.map((work) => {
    if (freeAt.length === 0) return { startMs: 0, endMs: work };
    const first = freeAt.indexOf(Math.min(...freeAt));
    const startMs = freeAt[first]!;
    freeAt[first] = startMs + work;
    return { startMs, endMs: startMs + work };
  });
}
