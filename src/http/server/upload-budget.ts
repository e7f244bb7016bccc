// How many bytes of bodies may be in memory at the same time, over all requests.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from '../problems/problems.js';

/**
 * Takes room for the body of a request until it is answered.
 * @param maxBytes the most that this body can have; counted for one that does not say its length
 * @throws Problem when there is no room
 */
export type UploadBudget = (request: FastifyRequest, reply: FastifyReply, maxBytes: number) => void;

/** A body that has not come by then counts with what has come of it. */
const graceMs = 500;

/** A body counts with the length that it announces, but not for long: one that is held back takes nothing from the others. */
export function uploadBudget(maxTotalBytes: number): UploadBudget {
  let taken = 0;
  return ({ raw, headers }, reply, maxBytes) => {
    let reserved = Math.min(Number(headers['content-length'] ?? maxBytes), maxBytes);
    if (taken + reserved > maxTotalBytes) {
      const detail = `The bodies of the requests in flight have ${taken} bytes; with this one they would pass ${maxTotalBytes}.`;
      throw new Problem('overloaded', detail, { retryAfter: 1, reason: 'upload_limit' });
    }
    taken += reserved;
    let received = raw.readableLength; // what came with the headers
    const reserve = (bytes: number) => {
      taken += bytes - reserved;
      reserved = bytes;
    };
    const grace = setTimeout(() => reserve(received), graceMs);
    const push = raw.push.bind(raw);
    raw.push = (chunk, encoding) => {
      received += (chunk as Buffer | null)?.length ?? 0;
      if (received > reserved) reserve(received);
      // A body without end, or many slow ones that were let in and go on together: there is no memory for an answer.
      if (received > 2 * maxBytes) raw.destroy(new Error('the body has no end'));
      if (taken > maxTotalBytes) raw.destroy(new Error('the uploads in flight are larger than MAX_UPLOADS_BYTES'));
      return push(chunk, encoding);
    };
    reply.raw.once('close', () => {
      clearTimeout(grace);
      reserve(0);
      raw.push = push;
    });
  };
}
