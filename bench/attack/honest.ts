// The others: honest callers, who send a small JPEG at a fixed rate whatever becomes of the earlier ones, and a probe.

import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';

export interface Honest {
  readonly sent: number;
  readonly answered: number;
  /** Answered, but not within `lateMs`. */
  readonly late: number;
  /** 429 and 503: overload that is told. */
  readonly refused: number;
  /** Every other answer, or none. */
  readonly failed: number;
  readonly slowestMs: number;
  /** What became of those without a picture. */
  readonly reasons: Readonly<Record<string, number>>;
}

export const steps = 2;
export const lateMs = 1000;
const patienceMs = 30_000;

export interface Caller {
  readonly url: string;
  readonly key: string;
}

export async function smallJpeg(): Promise<Blob> {
  const picture = sharp({ create: { width: 256, height: 192, channels: 3, background: '#c63' } });
  return new Blob([await picture.jpeg().toBuffer()], { type: 'image/jpeg' });
}

/** @returns the status, or how else it ended */
async function makeOne({ url, key }: Caller, jpeg: Blob): Promise<string> {
  const body = new FormData();
  body.append('image', jpeg, 'picture.jpg');
  for (const [name, value] of Object.entries({ steps, strength: 1, width: 32, height: 32 }))
    body.append(name, String(value));
  const headers = { authorization: `Bearer ${key}` };
  try {
    const answer = await fetch(`${url}/img2img`, {
      method: 'POST',
      body,
      headers,
      signal: AbortSignal.timeout(patienceMs),
    });
    const text = answer.status === 200 ? void (await answer.arrayBuffer()) : await answer.text();
    return text === undefined ? '200' : `${answer.status} ${JSON.parse(text).code}`;
  } catch (error) {
    const { name, cause } = error as Error;
    return (cause as NodeJS.ErrnoException)?.code ?? name;
  }
}

/** Pictures in a second, with always some in the queue. */
export async function capacity(caller: Caller, jpeg: Blob, count: number): Promise<number> {
  let next = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      while (next++ < count) {
        const outcome = await makeOne(caller, jpeg);
        if (outcome !== '200') throw new Error(`an honest request without an attack was answered with ${outcome}`);
      }
    }),
  );
  return (1000 * count) / (performance.now() - start);
}

/** Sends so many a second until it is stopped, then waits for the last answers. */
export function sendHonestly(caller: Caller, jpeg: Blob, perSecond: number): () => Promise<Honest> {
  const going: Promise<{ outcome: string; ms: number }>[] = [];
  const send = async () => {
    const start = performance.now();
    const outcome = await makeOne(caller, jpeg);
    return { outcome, ms: performance.now() - start };
  };
  const timer = setInterval(() => going.push(send()), 1000 / perSecond);
  return async () => {
    clearInterval(timer);
    const all = await Promise.all(going);
    const answered = all.filter(({ outcome }) => outcome === '200');
    const refused = all.filter(({ outcome }) => /^(429|503) /.test(outcome));
    const reasons: Record<string, number> = {};
    for (const { outcome } of all) if (outcome !== '200') reasons[outcome] = (reasons[outcome] ?? 0) + 1;
    return {
      sent: all.length,
      answered: answered.length,
      late: answered.filter(({ ms }) => ms > lateMs).length,
      refused: refused.length,
      failed: all.length - answered.length - refused.length,
      slowestMs: Math.max(0, ...answered.map(({ ms }) => ms)),
      reasons,
    };
  };
}

/** Asks /livez every 25 ms, also when the last answer is not there yet. @returns ms, Infinity where none came */
export function probe(url: string): () => Promise<number[]> {
  const going: Promise<number>[] = [];
  const ask = async () => {
    const start = performance.now();
    try {
      const answer = await fetch(`${url}/livez`, { signal: AbortSignal.timeout(patienceMs) });
      await answer.arrayBuffer();
      return answer.status === 200 ? performance.now() - start : Number.POSITIVE_INFINITY;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  };
  const timer = setInterval(() => going.push(ask()), 25);
  return async () => {
    clearInterval(timer);
    await sleep(0);
    return Promise.all(going);
  };
}
