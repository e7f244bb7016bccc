// GET /livez and GET /readyz. Saturation never fails readiness: all replicas would leave the balancer together.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Engine } from '../../engine/host/engine.js';
import { Problem, problemResponses } from '../problems/problems.js';

const Status = { content: { 'application/json': { schema: Type.Object({ status: Type.Literal('ok') }) } } };

export function probeRoutes(app: FastifyInstance, engine: Engine, lifecycle: { readonly draining: boolean }): void {
  app.get(
    '/livez',
    {
      logLevel: 'warn',
      schema: {
        operationId: 'livez',
        summary: 'Is the process alive?',
        description: 'A liveness probe: answers as long as the process does.',
        security: [],
        tags: ['Operations'],
        response: { 200: { description: 'It is', ...Status } },
      },
    },
    async () => ({ status: 'ok' }),
  );
  app.get(
    '/readyz',
    {
      logLevel: 'warn',
      schema: {
        operationId: 'readyz',
        summary: 'Should requests be sent here?',
        description: 'A readiness probe: not while models are loaded, not while draining, not without a live worker.',
        security: [],
        tags: ['Operations'],
        response: { 200: { description: 'Yes', ...Status }, ...problemResponses('draining', 'not_ready') },
      },
    },
    async () => {
      if (lifecycle.draining) throw new Problem('draining', 'The server shuts down.', { retryAfter: 1 });
      const { ready, reason } = engine.status;
      if (!ready) throw new Problem('not_ready', reason ?? 'Not ready.', { retryAfter: 2 });
      return { status: 'ok' };
    },
  );
}
