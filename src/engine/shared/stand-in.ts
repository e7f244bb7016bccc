// The stand-in device: the real pipeline on the CPU that can be slow, fail, hang or die when told, and that can cost like a
// GPU. For tests and simulations: DEVICES=standin, with STAND_IN for its costs. Faults are asked for in a request's prompt.

export interface StandInSettings {
  /** What a UNet call takes, ms by rows, interpolated between and extrapolated beyond; none: what it takes on the CPU. */
  readonly callMs?: Readonly<Record<string, number>>;
  /** What one call of the VAE takes, encoding or decoding, ms. */
  readonly vaeMs?: number;
  /** Pretended memory of the device, and what a row needs of it per pixel. */
  readonly memoryBytes?: number;
  readonly bytesPerPixel?: number;
}

export type Fault = 'slow' | 'fail' | 'hang' | 'die' | 'oom' | 'provider';

/** What `slow` adds to a call, ms. */
export const slowMs = 5000;

/**
 * What a prompt asks of the stand-in, as `[hang@3]`: at UNet call 3 of the request, counted from 0. `[die@3 once]` spares
 * the request when it comes again.
 */
export function faultAt(prompt: string, call: number, deaths: number): Fault | undefined {
  const match = /\[(slow|fail|hang|die|oom|provider)@(\d+)( once)?\]/.exec(prompt);
  if (!match || Number(match[2]) !== call || (match[3] && deaths > 0)) return undefined;
  return match[1] as Fault;
}

/** ms of a UNet call with so many rows, from a table. */
export function callMs(table: Readonly<Record<string, number>>, rows: number): number {
  const entries = Object.entries(table)
    .map(([key, ms]) => [Number(key), ms] as const)
    .sort(([a], [b]) => a - b);
  const above = entries.findIndex(([key]) => key >= rows);
  if (above === 0) return entries[0]![1];
  const [[x0, y0], [x1, y1]] = above < 0 ? [entries.at(-2)!, entries.at(-1)!] : [entries[above - 1]!, entries[above]!];
  return y0 + ((y1 - y0) * (rows - x0)) / (x1 - x0);
}
