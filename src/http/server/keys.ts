// Who calls: by API key, or by address where keys are off.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../problems/problems.js';
import { WrongKeys } from './wrong-keys.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Names the caller: its key without telling it, or its address where keys are off. */
    caller: string;
    /** False for a request that came through a proxy which is not trusted to say for whom: others may share the address. */
    callerIsOne: boolean;
  }
}

/** Open to everybody: probes, the page, the documentation, and what a browser asks before it sends a key. */
const isOpen = (route: string | undefined) =>
  /^\/(livez|readyz|openapi\.json|(docs|problems)(\/.*)?|page\/.*)?$/.test(route ?? '');

/** Clients of the AUTOMATIC1111 web UI know only a user and a password. */
const takesPasswords = ({ url }: FastifyRequest) => url.startsWith('/sdapi/');

/** @param trustsProxies whether X-Forwarded-For is believed, so that a request's address is its client's */
export function knowCallers(app: FastifyInstance, keys: readonly string[], trustsProxies: boolean): void {
  app.decorateRequest('caller', '');
  app.decorateRequest('callerIsOne', true);
  app.addHook('onRequest', async (request) => {
    const { ip, headers } = request;
    request.caller = ip;
    request.callerIsOne = trustsProxies || (!headers['x-forwarded-for'] && !headers.forwarded);
  });
  if (keys.length === 0) return;
  const digests = keys.map(digest);
  const wrongKeys = new WrongKeys();
  app.addHook('onRequest', async (request, reply) => {
    if (request.method === 'OPTIONS' || isOpen(request.routeOptions.url)) return;
    const key = givenKey(request);
    const given = digest(key ?? '');
    // Digests are of one length and every one is compared, so that the time tells nothing.
    const [match] = digests.filter((known) => timingSafeEqual(known, given));
    if (match) {
      request.caller = match.toString('hex', 0, 8);
      request.callerIsOne = true;
      return;
    }
    if (key !== undefined) wrongKeys.count(request.ip);
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
