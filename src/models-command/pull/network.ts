// Requests to a hub. The token goes to the hub's own origin and nowhere else: redirects are followed by hand, and the hub's library
// gets no token. What stalls is broken off; what a later try may mend is tried again, for a bounded time.

import { ModelsError } from '../models-error.js';

export interface Network {
  /** The hub, without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** A connection that gives nothing for so long counts as broken, ms. */
  readonly stallMs: number;
  /** The longest that one file or answer waits for a hub that asks to wait, ms together. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** A line about what is waited for. */
  tell(line: string): void;
}

/** Another try may do better. */
export class TryAgain extends ModelsError {
  /** @param afterMs that the hub asks to wait */
  constructor(
    message: string,
    readonly afterMs?: number,
  ) {
    super(message);
  }
}

const mostRedirects = 8;
const redirects: readonly number[] = [301, 302, 303, 307, 308];
/** Tries in a row that bring nothing. */
const mostTries = 6;
const firstWaitMs = 1000;
const longestWaitMs = 30_000;

/** @param text HF_ENDPOINT @throws ModelsError */
export function checkEndpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const right =
    url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' && url.search === '';
  if (!right)
    throw new ModelsError('HF_ENDPOINT is no address of a hub; it must be an http or https address without a password');
  return url.href.replace(/\/+$/, '');
}

export interface Answer {
  readonly response: Response;
  /** Whether the hub itself answered, and not a host that it redirected to. */
  readonly fromHub: boolean;
  /** Of whoever answered. */
  readonly host: string;
}

/** One try. @throws TryAgain when nobody answers, ModelsError for redirects that are not followed */
export async function request(
  network: Network,
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Answer> {
  const own = new URL(network.endpoint).origin;
  let target = new URL(url);
  for (let hop = 0; hop <= mostRedirects; hop++) {
    const fromHub = target.origin === own;
    const authorization = fromHub && network.token !== undefined && { authorization: `Bearer ${network.token}` };
    const response = await fetch(target, {
      redirect: 'manual',
      headers: { ...headers, ...authorization },
      signal,
    }).catch((error: Error) => {
      throw brokenConnection(error, target.host, network.signal);
    });
    const location = response.headers.get('location');
    if (!redirects.includes(response.status) || location === null) return { response, fromHub, host: target.host };
    await response.body?.cancel();
    target = next(location, target);
  }
  throw new ModelsError(`${new URL(url).host} redirects more than ${mostRedirects} times`);
}

function next(location: string, from: URL): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  const secure = to?.protocol === 'https:' || (to?.protocol === 'http:' && from.protocol === 'http:');
  if (to && secure && to.username === '' && to.password === '') return to;
  throw new ModelsError(
    `${from.host} redirects to an address that is not followed; it must be https, without a password`,
  );
}

/** Which error a failed connection is. @param stop the caller's own end */
export function brokenConnection(error: unknown, host: string, stop: AbortSignal): Error {
  if (stop.aborted) return stop.reason as Error;
  if (error instanceof ModelsError) return error;
  const { cause, message } = error as Error & { cause?: { code?: string; message?: string } };
  return new TryAgain(`the connection to ${host} failed: ${cause?.code ?? cause?.message ?? message}`);
}

/** A signal that comes when nothing happened for `ms`. */
export class Stall {
  readonly signal: AbortSignal;
  private readonly controller = new AbortController();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly network: Network) {
    this.signal = AbortSignal.any([this.controller.signal, network.signal]);
    this.happened();
  }

  /** Something came. */
  happened(): void {
    const { stallMs } = this.network;
    clearTimeout(this.timer);
    const stalled = new TryAgain(`nothing came for ${stallMs / 1000} s`);
    this.timer = setTimeout(() => this.controller.abort(stalled), stallMs);
  }

  end(): void {
    clearTimeout(this.timer);
  }
}

/** Tries again what may do better, with pauses. `brought` says that a try was worth it: then the count begins anew. */
export async function patiently<T>(network: Network, work: (brought: () => void) => Promise<T>): Promise<T> {
  let tries = 0;
  let patience = network.patienceMs;
  const brought = () => {
    tries = 0;
    patience = network.patienceMs;
  };
  for (;;) {
    try {
      return await work(brought);
    } catch (error) {
      network.signal.throwIfAborted();
      if (!(error instanceof TryAgain)) throw error;
      tries++;
      const wait = error.afterMs ?? Math.min(longestWaitMs, firstWaitMs * 2 ** (tries - 1));
      patience -= wait;
      if (tries >= mostTries) throw new ModelsError(`${error.message}; given up after ${tries} tries`);
      if (patience < 0) {
        throw new ModelsError(`${error.message}; that is longer than is waited for here, try again later`);
      }
      network.tell(`${error.message}; trying again in ${Math.ceil(wait / 1000)} s`);
      await network.sleep(wait, network.signal);
      network.signal.throwIfAborted();
    }
  }
}

/** Seconds or a date, in ms from now. */
export function retryAfterMs(header: string | null): number | undefined {
  if (header === null || header.trim() === '') return undefined;
  const ms = /^\d+$/.test(header) ? 1000 * Number(header) : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
