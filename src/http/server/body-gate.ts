// What every request must pass before the first byte of its body is read, whatever its route: there is such a route, it takes a
// body of this type and size, and there is room for it. The one place that decides which bodies are read at all.

import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import { Problem } from '../problems/problems.js';
import type { UploadBudget } from './upload-budget.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Media types of the bodies that the route takes. */
    bodyTypes?: readonly string[];
  }
}

/** The most that a body without pictures may have, bytes. */
export const smallBody = 65_536;

interface KnownRoute {
  readonly method: string;
  readonly pattern: RegExp;
}

/**
 * For the routes that are registered after it.
 * @param budget bytes of all bodies together
 */
export function gateBodies(app: FastifyInstance, budget: UploadBudget): void {
  const known: KnownRoute[] = [];
  app.addHook('onRoute', (route) => {
    for (const method of [route.method].flat()) known.push({ method, pattern: patternOf(route.url) });
    route.config = { ...route.config, bodyTypes: bodyTypesOf(route) };
  });
  app.addHook('onRequest', async (request, reply) => {
    refuseTwoHosts(request);
    if (request.is404) throw noSuchRoute(request, known);
    if (!hasBody(request)) return;
    refuseWrongBody(request, request.routeOptions.config.bodyTypes ?? []);
    budget(request, reply, request.routeOptions.bodyLimit ?? smallBody);
  });
}

/** RFC 9112, 3.2: a request with more than one Host is answered with 400. */
function refuseTwoHosts({ raw }: FastifyRequest): void {
  const hosts = raw.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
  if (hosts.length > 1) throw new Problem('invalid_request', 'The header Host is there more than once.');
}

function noSuchRoute({ method, url }: FastifyRequest, known: readonly KnownRoute[]): Problem {
  const path = url.split('?')[0]!;
  const methods = known.filter(({ pattern }) => pattern.test(path)).map((route) => route.method);
  if (methods.length === 0) return new Problem('not_found', `There is no ${method} ${path}; see /docs.`);
  const allowed = [...new Set(methods)].sort().join(', ');
  return new Problem('method_not_allowed', `${path} takes ${allowed}, not ${method}.`, { headers: { allow: allowed } });
}

/** What a body may be on a route: a POST without a schema of one takes JSON, of which nothing is read. */
function bodyTypesOf({ method, schema }: RouteOptions): readonly string[] {
  const content = (schema?.body as { content?: object } | undefined)?.content;
  if (content) return Object.keys(content);
  return method === 'POST' ? ['application/json'] : [];
}

function hasBody({ headers }: FastifyRequest): boolean {
  return Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined;
}

function refuseWrongBody({ method, url, headers, routeOptions }: FastifyRequest, types: readonly string[]): void {
  const path = url.split('?')[0];
  if (types.length === 0) throw new Problem('invalid_request', `${method} ${path} takes no body.`);
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    const detail = `Content-Encoding is ${JSON.stringify(encoding)}; send the body as it is, without one.`;
    throw new Problem('unsupported_media_type', detail);
  }
  const sent = headers['content-type'];
  const [type] = sent?.toLowerCase().split(/\s*;/) ?? [];
  if (type === undefined || !types.includes(type)) {
    throw new Problem('unsupported_media_type', `${howSent(sent)}; send ${types.join(' or ')}.${hint(type, types)}`);
  }
  const length = Number(headers['content-length'] ?? 0);
  const limit = routeOptions.bodyLimit ?? smallBody;
  if (length > limit) {
    throw new Problem('upload_too_large', `The body has ${length} bytes; ${method} ${path} takes at most ${limit}.`);
  }
}

const howSent = (type: string | undefined) =>
  type === undefined ? 'The body has no Content-Type' : `Content-Type is ${JSON.stringify(type.slice(0, 100))}`;

/** For whoever sends the bare picture. */
function hint(type: string | undefined, types: readonly string[]): string {
  const isPicture = type?.startsWith('image/') || type === 'application/octet-stream';
  if (!isPicture || !types.includes('multipart/form-data')) return '';
  return ' The picture goes into a form as its part `image`: curl -F image=@picture.jpg.';
}

function patternOf(url: string): RegExp {
  const source = url
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:[A-Za-z_]\w*/g, '[^/]+')
    .replaceAll('*', '.*');
  return new RegExp(`^${source}$`);
}
