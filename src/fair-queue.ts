// The order of what waits: fair queueing by virtual time (Demers, Keshav & Shenker 1989; Goyal, Vin & Cheng 1996), first among
// callers, then among the requests of a caller. Whoever has got the least is next; who comes anew starts level with the others. So a
// request of many pictures cannot starve small ones, nor many small ones a large one.
//
// What a caller takes at once, others get later. Until they have, it counts as one of those who share, as in the fluid model that the
// clock follows: else the clock would run ahead of them, and whoever comes now and then would wait for what they are owed.

export interface Queued {
  readonly caller: string;
  /** Those of one request share a flow. */
  readonly group: number;
  /** What it will take of a device, in any unit. */
  readonly work: number;
}

interface Flow {
  /** Work that it has got, on the clock that all flows beside it share. */
  served: number;
}

interface GroupFlow<T> extends Flow {
  readonly items: T[];
}

/** It stays without groups while it has got more than the clock says. */
interface CallerFlow<T> extends Flow {
  /** Of its groups. */
  clock: number;
  readonly groups: Map<number, GroupFlow<T>>;
}

export class FairQueue<T extends Queued> {
  private readonly callers = new Map<string, CallerFlow<T>>();
  private clock = 0;
  /** Those that lost their worker: they have waited already. */
  private readonly again: T[] = [];
  size = 0;

  add(item: T): void {
    const caller = this.callers.get(item.caller) ?? { served: this.clock, clock: 0, groups: new Map() };
    const group = caller.groups.get(item.group) ?? { served: caller.clock, items: [] };
    this.callers.set(item.caller, caller);
    caller.groups.set(item.group, group);
    group.items.push(item);
    this.size++;
  }

  /** Puts it before all others. */
  addAgain(item: T): void {
    this.again.push(item);
    this.size++;
  }

  /** The next one, still in the queue. */
  peek(): T | undefined {
    return this.again[0] ?? this.first()?.group.items[0];
  }

  /** Takes the next one out and charges its caller and its request for it. */
  take(): T | undefined {
    const again = this.again.shift();
    if (again) {
      this.size--;
      return again;
    }
    const first = this.first();
    if (!first) return undefined;
    const { caller, group } = first;
    const item = group.items[0]!;
    this.clock = advanced(this.clock, caller, item.work / this.callers.size);
    caller.clock = advanced(caller.clock, group, item.work / caller.groups.size);
    caller.served += item.work;
    group.served += item.work;
    this.remove(item);
    this.forgetLevel();
    return item;
  }

  /** @returns false when it is not here */
  remove(item: T): boolean {
    const caller = this.callers.get(item.caller);
    const group = caller?.groups.get(item.group);
    const list = this.again.includes(item) ? this.again : group?.items;
    const index = list?.indexOf(item) ?? -1;
    if (index < 0) return false;
    list!.splice(index, 1);
    this.size--;
    if (group?.items.length === 0) caller!.groups.delete(item.group);
    if (caller?.groups.size === 0 && this.isLevel(caller)) this.callers.delete(item.caller);
    return true;
  }

  private forgetLevel(): void {
    for (const [name, caller] of this.callers) {
      if (caller.groups.size === 0 && this.isLevel(caller)) this.callers.delete(name);
    }
  }

  /** With the others; where nothing waits there are none. */
  private isLevel({ served }: Flow): boolean {
    return served <= this.clock || this.size === 0;
  }

  /** All that wait, roughly in their order: callers and requests take turns, which this does not play through. */
  *[Symbol.iterator](): IterableIterator<T> {
    yield* this.again;
    for (const caller of inTurn(this.callers)) {
      for (const group of inTurn(caller.groups)) yield* group.items;
    }
  }

  private first(): { caller: CallerFlow<T>; group: GroupFlow<T> } | undefined {
    const caller = inTurn(this.callers).find(({ groups }) => groups.size > 0);
    if (!caller) return undefined;
    return { caller, group: inTurn(caller.groups)[0]! };
  }
}

/** The clock goes on by what each of the flows would have got of this work: so nobody who comes later is before all others. */
function advanced(clock: number, { served }: Flow, share: number): number {
  return Math.max(served, clock + share);
}

/** Least served first; the sort is stable, so that equals keep the order in which they came. */
function inTurn<F extends Flow>(flows: ReadonlyMap<unknown, F>): F[] {
  return [...flows.values()].sort((a, b) => a.served - b.served);
}
