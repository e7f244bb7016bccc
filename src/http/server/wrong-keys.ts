// Whoever tries keys is slowed down: by address, so that a right key from the same address is still served.

import { Problem } from '../problems/problems.js';

const windowMs = 60_000;
/** Wrong keys of one address in a window that are answered with a 401. */
const tolerated = 20;

interface Window {
  tries: number;
  readonly endsAt: number;
}

export class WrongKeys {
  /** The oldest windows first. */
  private readonly windows = new Map<string, Window>();

  /** @param maxAddresses that are kept in mind; beyond them the oldest are forgotten */
  constructor(private readonly maxAddresses = 10_000) {}

  /**
   * @param now on the clock of performance.now(), ms
   * @throws Problem when the address has tried too many
   */
  count(address: string, now = performance.now()): void {
    const known = this.windows.get(address);
    const window = known && known.endsAt > now ? known : { tries: 0, endsAt: now + windowMs };
    window.tries++;
    if (window !== known) {
      this.windows.delete(address);
      this.windows.set(address, window);
      const [oldest] = this.windows.keys();
      if (this.windows.size > this.maxAddresses) this.windows.delete(oldest!);
    }
    if (window.tries <= tolerated) return;
    throw new Problem('rate_limited', `This address has sent more than ${tolerated} wrong keys within a minute.`, {
      retryAfter: Math.max(1, Math.ceil((window.endsAt - now) / 1000)),
      reason: 'unauthorized',
    });
  }
}
