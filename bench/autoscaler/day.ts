// A day of a fleet: requests come, a balancer spreads them, replicas run them in batches, and an autoscaler looks on.

/** What a replica is. */
export interface Replica {
  /** Seconds; -Infinity for one that was there when the day began. */
  readonly readyAt: number;
  readonly running: { came: number; steps: number }[];
  readonly queue: { came: number; steps: number }[];
  /** Takes nothing new, ends when it is empty. */
  draining: boolean;
  /** (running + queue) / slots at the last scrape. */
  scraped: number;
  /** Most requests that ever ran together: what the memory arena keeps. */
  peak: number;
}

export interface Fleet {
  readonly slots: number;
  readonly queueLimit: number;
  /** From the scheduler's decision to /readyz: image, model, warm-up. */
  readonly coldStartSeconds: number;
  /** Duration of one UNet call with so many rows; a guided request has two. */
  readonly stepSeconds: (rows: number) => number;
  /** Longest wait for a slot before the request's deadline is out of reach. */
  readonly timeoutSeconds: number;
}

/** What the autoscaler sees, and how it answers, every 15 s. */
export type Scaler = (now: number, seen: Seen) => number;

export interface Seen {
  readonly current: number;
  readonly ready: number;
  /** Sum over the replicas of their saturation when they were last scraped. */
  readonly load: number;
  /** Of the last 5 minutes' requests, in seconds; NaN without any. */
  readonly p95: number;
  /** Sum over the replicas of the share of GPU memory in use. */
  readonly memory: number;
}

/** One row per minute. */
export interface Minute {
  readonly arrivals: number;
  readonly rejected: number;
  readonly replicas: number;
  readonly ready: number;
  readonly load: number;
  readonly p95Wait: number;
}

export interface Day {
  readonly minutes: readonly Minute[];
  readonly arrivals: number;
  readonly rejected: number;
  /** Rejected, or not answered within 30 s. */
  readonly missed: number;
  readonly waits: Float64Array;
  readonly replicaHours: number;
  readonly changes: number;
}

const tick = 0.1;
const scrapeSeconds = 15;
const daySeconds = 86_400;
export const objectiveSeconds = 30;

/** Requests per second: quiet nights, a peak before noon and one in the evening, and a quarter of an hour of fame at 15:00. */
export function traffic(second: number): number {
  const hour = second / 3600;
  const hill = (at: number, width: number) => Math.exp(-(((hour - at) / width) ** 2));
  const everyday = 0.3 + 4.2 * hill(11, 2.5) + 5.2 * hill(20, 2.2);
  return everyday + (hour >= 15 && hour < 15.25 ? 6 : 0);
}

/** Marsaglia's xorshift32: the same day for every policy. */
function random(seed: number) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** @returns the day under one policy; the same arguments give the same day */
export function simulateDay(fleet: Fleet, scaler: Scaler, startReplicas: number): Day {
  const draw = random(20_261_124);
  let replicas: Replica[] = Array.from({ length: startReplicas }, () => newReplica(Number.NEGATIVE_INFINITY));
  let recorded = { load: 0, memory: 0 };
  const waits: number[] = [];
  const recent: { at: number; took: number }[] = [];
  const minutes: Minute[] = [];
  let minute = { arrivals: 0, rejected: 0, waits: [] as number[] };
  const total = { arrivals: 0, rejected: 0, late: 0, replicaSeconds: 0, changes: 0 };
  const isReady = (replica: Replica, now: number) => replica.readyAt <= now && !replica.draining;

  for (let n = 0; n < daySeconds / tick; n++) {
    const now = n * tick;
    if (draw() < traffic(now) * tick) {
      minute.arrivals++;
      const steps = 10 + Math.floor(draw() * 31);
      const room = replicas
        .filter((replica) => isReady(replica, now))
        .sort((a, b) => a.running.length + a.queue.length - b.running.length - b.queue.length)[0];
      if (room && room.running.length + room.queue.length < fleet.slots + fleet.queueLimit) {
        room.queue.push({ came: now, steps });
      } else minute.rejected++;
    }
    for (const replica of replicas) {
      while (replica.queue.length > 0 && replica.running.length < fleet.slots) {
        const request = replica.queue.shift()!;
        const wait = now - request.came;
        if (wait > fleet.timeoutSeconds) {
          minute.rejected++;
          continue;
        }
        waits.push(wait);
        minute.waits.push(wait);
        replica.running.push(request);
      }
      replica.peak = Math.max(replica.peak, replica.running.length);
      const done = tick / fleet.stepSeconds(2 * replica.running.length);
      for (let i = replica.running.length - 1; i >= 0; i--) {
        const request = replica.running[i]!;
        request.steps -= done;
        if (request.steps > 0) continue;
        replica.running.splice(i, 1);
        recent.push({ at: now, took: now - request.came });
        if (now - request.came > objectiveSeconds) total.late++;
      }
    }
    replicas = replicas.filter(({ draining, running, queue }) => !draining || running.length + queue.length > 0);
    total.replicaSeconds += replicas.length * tick;

    // Scraped, recorded from the scrapes before, and read from the record before: each 15 s, each its own clock.
    if (n % (scrapeSeconds / tick) === 0) {
      const current = replicas.filter(({ draining }) => !draining);
      while (recent.length > 0 && recent[0]!.at < now - 300) recent.shift();
      const wanted = scaler(now, {
        current: current.length,
        ready: current.filter((replica) => isReady(replica, now)).length,
        ...recorded,
        p95: quantile(
          recent.map(({ took }) => took),
          0.95,
        ),
      });
      recorded = {
        load: replicas.reduce((sum, { scraped }) => sum + scraped, 0),
        memory: replicas.reduce((sum, { peak }) => sum + memoryOf(peak, fleet.slots), 0),
      };
      for (const replica of replicas) replica.scraped = (replica.running.length + replica.queue.length) / fleet.slots;
      if (wanted !== current.length) total.changes++;
      for (let i = current.length; i < wanted; i++) replicas.push(newReplica(now + fleet.coldStartSeconds));
      // Kubernetes ends the youngest first, and before them those that are not ready.
      const byAge = current.sort((a, b) => b.readyAt - a.readyAt);
      for (const replica of byAge.slice(0, Math.max(0, current.length - wanted))) replica.draining = true;
    }
    if ((n + 1) % (60 / tick) === 0) {
      const capacity = replicas.filter((replica) => isReady(replica, now));
      minutes.push({
        arrivals: minute.arrivals,
        rejected: minute.rejected,
        replicas: replicas.length,
        ready: capacity.length,
        load: recorded.load,
        p95Wait: quantile(minute.waits, 0.95) || 0,
      });
      total.arrivals += minute.arrivals;
      total.rejected += minute.rejected;
      minute = { arrivals: 0, rejected: 0, waits: [] };
    }
  }
  return {
    minutes,
    arrivals: total.arrivals,
    rejected: total.rejected,
    missed: total.rejected + total.late,
    waits: Float64Array.from(waits).sort(),
    replicaHours: total.replicaSeconds / 3600,
    changes: total.changes,
  };
}

const newReplica = (readyAt: number): Replica => ({
  readyAt,
  running: [],
  queue: [],
  draining: false,
  scraped: 0,
  peak: 0,
});

/** The model's weights, and an arena that keeps its high-water mark. */
const memoryOf = (peak: number, slots: number) => 0.4 + (0.5 * peak) / slots;

/** NaN without values. */
export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}
