// An answer as events. Ours: queued -> step, step, … -> image, image, … -> done, or error with a problem document.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Progress } from '../../engine/host/engine.js';
import { encodePreview } from '../../image/encode.js';
import { logProblem, type Problem, problemBody, toProblem } from '../problems/problems.js';
import { EventStream } from '../server/event-stream.js';
import type { Made } from './making.js';
import { imageBody, madeBody } from './report.js';

/** What a protocol's events say, in their order. */
export interface Narrator {
  progress(events: EventStream, progress: Progress): Promise<void> | void;
  made(events: EventStream, made: Made): void;
  failed(events: EventStream, problem: Problem): void;
}

/**
 * Starts to answer. What is refused at once is thrown, as an ordinary problem; what fails later is the stream's last event.
 * @param run makes the pictures and tells how that goes
 * @param narrator says it in the protocol's words
 */
export async function answerWithEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  heartbeatMs: number,
  run: (onProgress: (progress: Progress) => void) => Promise<Made>,
  narrator: Narrator,
): Promise<FastifyReply> {
  const early: Progress[] = [];
  let tell = (progress: Progress): unknown => early.push(progress);
  const running = run((progress) => tell(progress));
  await Promise.race([running, nextTurn()]);

  const events = new EventStream(heartbeatMs);
  // Previews are encoded one after the other, so that events keep their order.
  let told = Promise.resolve();
  tell = (progress) => {
    told = told
      .then(() => narrator.progress(events, progress))
      .catch((error) => request.log.error({ err: error }, 'an event failed'));
  };
  if (early[0]?.phase !== 'queued') tell({ phase: 'queued', position: 0, estimatedWaitMs: 0 });
  for (const progress of early) tell(progress);

  running
    .then(
      async (made) => {
        await told;
        narrator.made(events, made);
      },
      async (error) => {
        await told;
        const problem = toProblem(error);
        logProblem(request, problem, error);
        narrator.failed(events, problem);
      },
    )
    .finally(() => events.end());
  return reply
    .headers({ 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    .type('text/event-stream')
    .send(events.body);
}

/** Of POST /img2img. */
export const img2imgEvents = (request: FastifyRequest): Narrator => ({
  progress: send,
  made(events, made) {
    for (const [index, picture] of made.pictures.entries()) events.send('image', { index, ...imageBody(picture) });
    const { images: _, ...rest } = madeBody(request.id, made);
    events.send('done', rest);
  },
  failed: (events, problem) => events.send('error', problemBody(request, problem)),
});

async function send(events: EventStream, progress: Progress): Promise<void> {
  if (progress.phase === 'queued') {
    const { position, estimatedWaitMs } = progress;
    return events.send('queued', { position, estimated_wait_ms: Math.round(estimatedWaitMs) });
  }
  if (events.isBehind) return;
  const { job, step, steps, preview } = progress;
  events.send('step', { index: job, step, steps, ...(preview && { preview: await previewBody(preview) }) });
}

async function previewBody(preview: NonNullable<Extract<Progress, { phase: 'running' }>['preview']>) {
  const { width, height } = preview;
  return { b64_json: (await encodePreview(preview)).toString('base64'), width, height, format: 'png' };
}
