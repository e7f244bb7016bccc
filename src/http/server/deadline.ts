// When a request must end: its deadline, or its client's leaving.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { EngineError } from '../../engine/host/engine.js';

/** For the schema of a route's headers. */
export const timeoutHeader = {
  'x-request-timeout-ms': Type.Optional(
    Type.String({
      pattern: '^[1-9][0-9]{0,8}$',
      description: "Milliseconds until a 504; the server's own limit counts if it is smaller.",
    }),
  ),
};

/**
 * A signal whose reason is an EngineError. It ends with the answer.
 * @param limitMs the server's limit; the client may ask for less with X-Request-Timeout-Ms
 * @returns the deadline is on the clock of performance.now()
 */
export function deadlineSignal(
  request: FastifyRequest,
  reply: FastifyReply,
  limitMs: number,
): { signal: AbortSignal; deadline: number } {
  const asked = request.headers['x-request-timeout-ms']; // a number, by the route's schema
  const ms = Math.min(limitMs, Number(asked ?? limitMs));
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(new EngineError('deadline_exceeded', `The picture was not ready within ${ms} ms.`)),
    ms,
  );
  const closed = () => {
    clearTimeout(timer);
    if (!reply.raw.writableFinished) controller.abort(new EngineError('cancelled', 'The client left.'));
  };
  // Not request.signal: it listens for the request's close, which is over once the body has been read. Who left before that,
  // while the picture in the body was decoded, is not heard any more.
  if (reply.raw.destroyed) closed();
  else reply.raw.once('close', closed);
  return { signal: controller.signal, deadline: performance.now() + ms };
}
