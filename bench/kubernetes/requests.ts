// Requests of 0.2 to 20 s, as forms and as JSON, and what becomes of each.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { randoms } from '../engine.js';

/** What a UNet call takes on the stand-in, whatever its rows. */
export const stepMs = 200;
export const costs = { callMs: { 1: stepMs, 64: stepMs } };

export interface Kind {
  readonly steps: number;
  readonly seed: number;
  readonly json: boolean;
}

/** Most are short and a few are long: their steps are 1 to 100, by the cube of a uniform number on a logarithmic scale. */
export const kinds: readonly Kind[] = Array.from({ length: 40 }, (_, i) => ({
  steps: Math.round(100 ** ((i / 39) ** 3)),
  seed: i,
  json: i % 2 === 1,
}));
/** Of a request that waits for nothing. */
export const meanSeconds = (stepMs * kinds.reduce((sum, { steps }) => sum + steps, 0)) / kinds.length / 1000;

const picture = readFileSync(new URL('../../docs/pictures/cottage.png', import.meta.url));

export interface Answer {
  /** HTTP's; 0 where there was none. */
  readonly status: number;
  /** sha256 of the picture. */
  readonly digest: string | undefined;
  /** Why there was none. */
  readonly error: string | undefined;
  readonly seconds: number;
}

export async function send(url: string, { steps, seed, json }: Kind): Promise<Answer> {
  const fields = { model: 'tiny', width: 32, height: 32, steps, strength: 1, seed, prompt: `picture ${seed}` };
  const begin = performance.now();
  const since = () => (performance.now() - begin) / 1000;
  try {
    const response = await fetch(`${url}/img2img`, { method: 'POST', ...(json ? asJson(fields) : asForm(fields)) });
    const bytes = Buffer.from(await response.arrayBuffer());
    const digest = response.ok ? createHash('sha256').update(bytes).digest('hex') : undefined;
    return { status: response.status, digest, error: response.ok ? undefined : bytes.toString(), seconds: since() };
  } catch (error) {
    const { message, cause } = error as Error & { cause?: Error };
    return { status: 0, digest: undefined, error: `${message}: ${cause?.message}`, seconds: since() };
  }
}

function asForm(fields: Readonly<Record<string, string | number>>): { body: FormData } {
  const body = new FormData();
  body.append('image', new Blob([picture]), 'picture.png');
  for (const [name, value] of Object.entries(fields)) body.append(name, String(value));
  return { body };
}

function asJson(fields: object) {
  const headers = { 'content-type': 'application/json', accept: 'image/png' };
  return { headers, body: JSON.stringify({ ...fields, image: picture.toString('base64') }) };
}

/** What each kind's picture is, as the replicas make it when nothing happens. */
export async function calmDigests(url: string): Promise<string[]> {
  const answers = await Promise.all(kinds.map((kind) => send(url, kind)));
  const failed = answers.find(({ status }) => status !== 200);
  if (failed) throw new Error(`A request fails although nothing happens: ${failed.status} ${failed.error}`);
  return answers.map(({ digest }) => digest!);
}

export interface Tally {
  sent: number;
  /** With a picture, the right one. */
  ok: number;
  /** With a picture, another one. */
  changed: number;
  /** Without a picture, by status; 0: no answer. */
  failed: Record<string, number>;
  /** The first few, in words. */
  errors: string[];
  seconds: number[];
}

/** Sends requests at random moments until it is stopped. */
export class Load {
  readonly tally: Tally = { sent: 0, ok: 0, changed: 0, failed: {}, errors: [], seconds: [] };
  private readonly going = new Set<Promise<void>>();
  private readonly random = randoms(7);
  private stopped = false;
  private readonly sending: Promise<void>;

  /** @param perSecond the mean rate, as of now */
  constructor(
    private readonly url: string,
    private readonly digests: readonly string[],
    private readonly perSecond: () => number,
  ) {
    this.sending = this.run();
  }

  /** Resolves when every request has its answer. */
  async stop(): Promise<Tally> {
    this.stopped = true;
    await this.sending;
    await Promise.all(this.going);
    return this.tally;
  }

  private async run(): Promise<void> {
    // By the clock, so that a busy moment of this process is made up for.
    for (let next = performance.now(); !this.stopped; ) {
      const rate = this.perSecond();
      if (rate === 0) {
        await sleep(200);
        next = performance.now();
        continue;
      }
      next += (-1000 * Math.log(1 - this.random())) / rate;
      const wait = next - performance.now();
      if (wait > 0) await sleep(wait);
      const going = this.one(Math.floor(this.random() * kinds.length)).then(() => {
        this.going.delete(going);
      });
      this.going.add(going);
    }
  }

  private async one(kind: number): Promise<void> {
    const { tally } = this;
    tally.sent++;
    const { status, digest, error, seconds } = await send(this.url, kinds[kind]!);
    tally.seconds.push(seconds);
    if (status !== 200) {
      tally.failed[status] = (tally.failed[status] ?? 0) + 1;
      if (tally.errors.length < 5) tally.errors.push(`${status} ${error}`);
    } else if (digest === this.digests[kind]) tally.ok++;
    else tally.changed++;
  }
}

/** Clients that ask one request after another, as many as `clients` says at the moment. */
export class Clients {
  readonly tally: Tally = { sent: 0, ok: 0, changed: 0, failed: {}, errors: [], seconds: [] };
  private readonly all: Promise<void>[] = [];
  private stopped = false;

  constructor(url: string, most: number, clients: () => number) {
    const random = randoms(11);
    const client = async (index: number) => {
      while (!this.stopped) {
        if (index >= clients()) {
          await sleep(200);
          continue;
        }
        this.tally.sent++;
        const { status, seconds } = await send(url, kinds[Math.floor(random() * kinds.length)]!);
        this.tally.seconds.push(seconds);
        if (status === 200) this.tally.ok++;
        else {
          this.tally.failed[status] = (this.tally.failed[status] ?? 0) + 1;
          await sleep(1000);
        }
      }
    };
    for (let i = 0; i < most; i++) this.all.push(client(i));
  }

  async stop(): Promise<Tally> {
    this.stopped = true;
    await Promise.all(this.all);
    return this.tally;
  }
}
