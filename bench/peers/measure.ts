// One workload: each peer's start, the latency of all of them alone in turns, then each by itself under load.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { quantile, randoms } from '../figures.js';
import { type Asked, installMb, type PeerName, type Running, start, type Workload } from './servers.js';

export interface Plan extends Workload {
  readonly peers: readonly PeerName[];
  readonly counts: {
    /** Requests one after another. */
    readonly alone: number;
    readonly clients: number;
    /** Requests of all clients together; 0 for none. */
    readonly together: number;
    /** The same starter and prompt with other seeds, one after another; 0 for none. */
    readonly again: number;
    /** Poisson arrivals at 80 % of its own capacity; 0 for none. */
    readonly open: number;
  };
}

export interface Measured {
  readonly peer: PeerName;
  readonly startSeconds: number;
  readonly installMb: number;
  /** After all requests. */
  readonly memoryMiB: number;
  readonly aloneMs: { readonly p50: number; readonly p95: number };
  /** With a starter and a prompt that were there just before, ms; absent where it was not asked. */
  readonly againMs?: number;
  /** Pictures a second, with so many clients; absent where it was not asked. */
  readonly perSecond?: number;
  /** At 80 % of that, from the scheduled arrival; absent where it was not asked. */
  readonly openMs?: { readonly p50: number; readonly p95: number };
}

export interface Outcome {
  readonly workload: Omit<Plan, 'model'>;
  readonly measured: readonly Measured[];
}

const photo = readFileSync(new URL('../../docs/pictures/still-life.jpg', import.meta.url));
const warmUps = 1;
let asked = 0;

/** A starter, a prompt and a seed that nobody has had. */
async function next({ side, steps, strength, guidance }: Plan): Promise<Asked> {
  const number = asked++;
  const hue = { hue: (number * 37) % 360, brightness: 1 - (number % 20) / 100 };
  const starter = await sharp(photo).resize(side, side).modulate(hue).jpeg({ quality: 90 }).toBuffer();
  const prompt = `watercolor painting, number ${number}`;
  return { starter, side, prompt, seed: number, steps, strength, guidance };
}

const quantiles = (values: readonly number[]) => ({ p50: quantile(values, 0.5), p95: quantile(values, 0.95) });

/** @param scale of the numbers of requests */
export async function measure(plan: Plan, work: string, scale: number): Promise<Outcome> {
  const times = (count: number) => (count === 0 ? 0 : Math.max(2, Math.round(count * scale)));
  const running: Running[] = [];
  try {
    for (const name of plan.peers) running.push(await start(name, plan, work));
    const alone = await takeTurns(running, times(plan.counts.alone), () => next(plan));
    const known = await next(plan);
    const askAgain = async () => ({ ...known, seed: asked++ });
    const again = plan.counts.again > 0 ? await takeTurns(running, times(plan.counts.again), askAgain) : undefined;
    const measured: Measured[] = [];
    for (const [i, one] of running.entries()) {
      const together = times(plan.counts.together);
      const perSecond = together > 0 ? await closed(one, plan, together) : undefined;
      const open = times(plan.counts.open);
      const openMs = open > 0 && perSecond ? quantiles(await poisson(one, plan, open, 0.8 * perSecond)) : undefined;
      measured.push({
        peer: one.name,
        startSeconds: one.startSeconds,
        installMb: installMb(one.name, work),
        memoryMiB: one.memoryMiB(),
        aloneMs: quantiles(alone[i]!),
        ...(again && { againMs: quantile(again[i]!, 0.5) }),
        ...(perSecond !== undefined && { perSecond }),
        ...(openMs && { openMs }),
      });
      console.log(JSON.stringify(measured.at(-1)));
    }
    const { model: _, ...workload } = plan;
    return { workload, measured };
  } finally {
    for (const one of running) await one.stop();
  }
}

/** The same request to each before the next, so that what disturbs one disturbs the others too. */
async function takeTurns(running: readonly Running[], count: number, ask: () => Promise<Asked>): Promise<number[][]> {
  const latencies: number[][] = running.map(() => []);
  for (let i = 0; i < warmUps + count; i++) {
    const request = await ask();
    for (const [k, one] of running.entries()) {
      const ms = await one.make(request);
      if (i >= warmUps) latencies[k]!.push(ms);
    }
  }
  return latencies;
}

async function closed(one: Running, plan: Plan, count: number): Promise<number> {
  const requests = await Promise.all(Array.from({ length: count }, () => next(plan)));
  const begin = performance.now();
  let taken = 0;
  const client = async () => {
    while (taken < count) await one.make(requests[taken++]!);
  };
  await Promise.all(Array.from({ length: plan.counts.clients }, client));
  return count / ((performance.now() - begin) / 1000);
}

/** @param rate per second */
async function poisson(one: Running, plan: Plan, count: number, rate: number): Promise<number[]> {
  const requests = await Promise.all(Array.from({ length: count }, () => next(plan)));
  const random = randoms(11);
  const begin = performance.now();
  let due = begin;
  return Promise.all(
    requests.map(async (request) => {
      due += (-Math.log(1 - random()) / rate) * 1000;
      const arrival = due;
      await sleep(arrival - performance.now());
      await one.make(request);
      return performance.now() - arrival;
    }),
  );
}
