// API keys: who may call. Off unless API_KEYS is set.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../problems/problems.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Names the caller's key without telling it; undefined where keys are off. */
    caller: string | undefined;
  }
}

/** Open to everybody: probes, the page, the documentation, and what a browser asks before it sends a key. */
const isOpen = (route: string | undefined) =>
  /^\/(livez|readyz|openapi\.json|docs(\/.*)?|page\/.*)?$/.test(route ?? '');

/** Clients of the AUTOMATIC1111 web UI know only a user and a password. */
const takesPasswords = ({ url }: FastifyRequest) => url.startsWith('/sdapi/');

export function requireKeys(app: FastifyInstance, keys: readonly string[]): void {
  app.decorateRequest('caller', undefined);
  if (keys.length === 0) return;
  const digests = keys.map(digest);
  app.addHook('onRequest', async (request, reply) => {
    if (request.method === 'OPTIONS' || isOpen(request.routeOptions.url)) return;
    const given = digest(givenKey(request) ?? '');
    // Digests are of one length and every one is compared, so that the time tells nothing.
    const [match] = digests.filter((known) => timingSafeEqual(known, given));
    if (match) {
      request.caller = match.toString('hex', 0, 8);
      return;
    }
    const basic = takesPasswords(request) ? ', Basic realm="img2img"' : '';
    reply.header('www-authenticate', `Bearer realm="img2img"${basic}`);
    throw new Problem(
      'unauthorized',
      `This server wants a key: Authorization: Bearer <key>${basic && ', or the key as the password of Basic'}.`,
    );
  });
}

function givenKey(request: FastifyRequest): string | undefined {
  const authorization = request.headers.authorization ?? '';
  const bearer = /^Bearer +(.+)$/i.exec(authorization)?.[1];
  if (bearer !== undefined || !takesPasswords(request)) return bearer;
  const basic = /^Basic +([\w+/=]+)$/i.exec(authorization)?.[1];
  return basic && /^[^:]*:(.*)$/s.exec(Buffer.from(basic, 'base64').toString('utf8'))?.[1];
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
