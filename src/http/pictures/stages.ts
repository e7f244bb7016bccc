// The stages of a request and what they took: for metrics, Server-Timing, and spans. Together they are the time from its
// headers to its encoded pictures.

import type { Generated } from '../../engine/host/engine.js';
import type { Trace } from '../server/trace.js';

export const stages = [
  'upload',
  'decode',
  'queue',
  'model_load',
  'text_encode',
  'vae_encode',
  'denoise',
  'vae_decode',
  'safety_check',
  'encode',
  'other',
] as const;
/**
 * Milliseconds per stage of one request. Of several pictures those of the one that was ready last, for which waiting for the
 * others is `queue`. `other` is what is in no stage: turns of other requests, and the ways between processes.
 */
export type StageTimes = Record<(typeof stages)[number], number>;

/** What was measured outside of the engine, ms. */
export interface OutsideTimes {
  readonly upload: number;
  readonly decode: number;
  readonly encode: number;
}

/** @param wholeMs of the request */
export function stageTimesOf(results: readonly Generated[], outside: OutsideTimes, wholeMs: number): StageTimes {
  const { queueMs, modelLoadMs, timings } = results.reduce((last, one) => (one.totalMs > last.totalMs ? one : last));
  const known = {
    upload: outside.upload,
    decode: outside.decode,
    queue: queueMs,
    model_load: modelLoadMs,
    text_encode: timings.textEncode,
    vae_encode: timings.vaeEncode,
    denoise: timings.denoise,
    vae_decode: timings.vaeDecode,
    safety_check: timings.safetyCheck,
    encode: outside.encode,
  };
  const sum = Object.values(known).reduce((sum, ms) => sum + ms, 0);
  return { ...known, other: Math.max(0, wholeMs - sum) };
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
  for (const { queueMs, modelLoadMs, timings } of results) {
    let start = queued;
    const next = (name: string, ms: number) => {
      part(name, start, ms);
      start += ms;
    };
    next('queue', queueMs);
    if (modelLoadMs > 0) next('model_load', modelLoadMs);
    next('text_encode', timings.textEncode);
    next('vae_encode', timings.vaeEncode);
    next('denoise', timings.denoise);
    next('vae_decode', timings.vaeDecode);
    if (timings.safetyCheck > 0) next('safety_check', timings.safetyCheck);
  }
  part('encode', made, encode);
}
