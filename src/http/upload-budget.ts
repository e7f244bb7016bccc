// How many bytes of bodies may be in memory at the same time, over all requests.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from './problems.js';

export interface UploadLimits {
  /** The most that one body can have; counted for a body that does not say its length. */
  readonly maxBytes: number;
  readonly maxTotalBytes: number;
}

export type UploadBudget = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/**
 * An onRequest hook, one for all routes that take pictures: a request that is over the budget is refused before its body is read.
 * @param assertRoom throws when no picture can be made now anyway
 */
export function uploadBudget({ maxBytes, maxTotalBytes }: UploadLimits, assertRoom: () => void): UploadBudget {
  let taken = 0;
  return async (request, reply) => {
    assertRoom();
    const bytes = Math.min(Number(request.headers['content-length'] ?? maxBytes), maxBytes);
    if (taken + bytes > maxTotalBytes) {
      const detail = `The bodies of the requests in flight have ${taken} bytes; with this one they would pass ${maxTotalBytes}.`;
      throw new Problem('overloaded', detail, { retryAfter: 1, reason: 'upload_limit' });
    }
    taken += bytes;
    reply.raw.once('close', () => {
      taken -= bytes;
    });
  };
}
