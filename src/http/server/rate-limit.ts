// How many pictures' requests one key or address may send. Off unless RATE_LIMIT is set; counted by each replica for itself.

import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import { Problem } from '../problems/problems.js';

/**
 * Applies to the POST routes that are registered after it, but for those with `config: { rateLimit: false }`.
 * @param perMinute requests of one caller
 * @param caller what tells callers apart
 */
export async function limitRates(app: FastifyInstance, perMinute: number, caller: 'key' | 'address'): Promise<void> {
  await app.register(rateLimit, {
    max: perMinute,
    timeWindow: '1 minute',
    keyGenerator: ({ caller }) => caller,
    allowList: ({ method }) => method !== 'POST',
    enableDraftSpec: true, // RateLimit-Limit, -Remaining and -Reset instead of their X- forms
    errorResponseBuilder: (_request, { ttl }) =>
      new Problem('rate_limited', `This ${caller} has sent ${perMinute} requests within a minute: its limit.`, {
        retryAfter: Math.max(1, Math.ceil(ttl / 1000)),
      }),
  });
}
