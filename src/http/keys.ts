// API keys: who may call. Off unless API_KEYS is set.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { Problem } from './problems.js';

/** Open to everybody: probes, the documentation, and what a browser asks before it sends a key. */
const isOpen = (route: string | undefined) => /^\/(livez|readyz|openapi\.json|docs(\/.*)?)$/.test(route ?? '');

export function requireKeys(app: FastifyInstance, keys: readonly string[]): void {
  if (keys.length === 0) return;
  const digests = keys.map(digest);
  app.addHook('onRequest', async (request, reply) => {
    if (request.method === 'OPTIONS' || isOpen(request.routeOptions.url)) return;
    const given = digest(/^Bearer +(.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '');
    // Digests are of one length and every one is compared, so that the time tells nothing.
    const matches = digests.filter((known) => timingSafeEqual(known, given));
    if (matches.length > 0) return;
    reply.header('www-authenticate', 'Bearer realm="img2img"');
    throw new Problem('unauthorized', 'This server wants a key: Authorization: Bearer <key>.');
  });
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
