// The stages of a request and what they took: for metrics, Server-Timing, and spans.

import type { Generated } from '../../engine/host/engine.js';
import type { Trace } from '../server/trace.js';

export const stages = [
  'upload',
  'decode',
  'queue',
  'text_encode',
  'vae_encode',
  'denoise',
  'vae_decode',
  'encode',
] as const;
/** Milliseconds per stage of one request; of several pictures the sums, and the longest time in the queue. */
export type StageTimes = Record<(typeof stages)[number], number>;

/** What was measured outside of the engine, ms. */
export interface OutsideTimes {
  readonly upload: number;
  readonly decode: number;
  readonly encode: number;
}

export function stageTimesOf(results: readonly Generated[], { upload, decode, encode }: OutsideTimes): StageTimes {
  const sum = (of: (result: Generated) => number) => results.reduce((total, result) => total + of(result), 0);
  return {
    upload,
    decode,
    queue: Math.max(...results.map(({ queueMs }) => queueMs)),
    text_encode: sum(({ timings }) => timings.textEncode),
    vae_encode: sum(({ timings }) => timings.vaeEncode),
    denoise: sum(({ timings }) => timings.denoise),
    vae_decode: sum(({ timings }) => timings.vaeDecode),
    encode,
  };
}

/**
 * A span per stage; those of the worker once per picture, one after the other from the end of its wait: of a batch's turns
 * only the durations are known, not when each was.
 * @param queued when the engine got the request, on the clock of performance.now(), ms
 * @param made when it had all pictures
 */
export function tellStages(
  { part }: Trace,
  results: readonly Generated[],
  outside: OutsideTimes,
  queued: number,
  made: number,
): void {
  if (!part) return;
  const { upload, decode, encode } = outside;
  part('upload', queued - decode - upload, upload);
  part('decode', queued - decode, decode);
  for (const { queueMs, timings } of results) {
    let start = queued;
    const next = (name: string, ms: number) => {
      part(name, start, ms);
      start += ms;
    };
    next('queue', queueMs);
    next('text_encode', timings.textEncode);
    next('vae_encode', timings.vaeEncode);
    next('denoise', timings.denoise);
    next('vae_decode', timings.vaeDecode);
  }
  part('encode', made, encode);
}
