// GET /: the page for people, or as JSON what this is and where to read on. Its files lie in assets/, as the browser gets them.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import helmet from '@fastify/helmet';
import files from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { schedulerNames } from '../../engine/host/engine.js';
import { problemResponses } from '../problems/problems.js';
import { browserHeaders } from '../server/browser-headers.js';
import { negotiate } from '../server/negotiation.js';

const assets = fileURLToPath(new URL('./assets', import.meta.url));

/** Addresses are relative to the one that was asked for: the service may lie behind a path prefix. */
const Index = Type.Object(
  {
    name: Type.String(),
    version: Type.String(),
    docs: Type.String({ description: 'The console, relative to this address' }),
    openapi: Type.String({ description: 'The OpenAPI document, relative to this address' }),
    page: Type.String({ description: 'The page for people, relative to this address' }),
  },
  { $id: 'Index' },
);

export async function registerPage(app: FastifyInstance, version: string): Promise<void> {
  const options = schedulerNames.map((name) => `<option>${name}</option>`).join('\n          ');
  const html = readFileSync(`${assets}/index.html`, 'utf8').replace('<!-- schedulers -->', options);
  const index = { name: 'img2img', version, docs: 'docs', openapi: 'openapi.json', page: './' };
  app.addSchema(Index);
  await app.register(async (scope) => {
    await scope.register(helmet, browserHeaders);
    // One route per file: what is not there stays an unknown route like any other.
    await scope.register(files, {
      root: assets,
      prefix: '/page/',
      wildcard: false,
      globIgnore: ['index.html'], // its addresses are relative to /
      index: false,
      decorateReply: false,
    });
    scope.get(
      '/',
      {
        schema: {
          operationId: 'index',
          summary: 'A page for people; for programs, where to read on',
          description: 'HTML where `Accept` prefers it, as browsers do; else JSON.',
          tags: ['Operations'],
          security: [],
          response: {
            200: {
              description: 'The page, or what this is',
              headers: { Vary: Type.String({ description: '`Accept`' }) },
              content: { 'application/json': { schema: Type.Ref('Index') }, 'text/html': { schema: Type.String() } },
            },
            ...problemResponses('not_acceptable'),
          },
        },
      },
      async (request, reply) => {
        reply.header('vary', [reply.getHeader('vary'), 'Accept'].flat().filter(Boolean).join(', '));
        reply.header('cache-control', 'no-cache');
        const type = negotiate(request.headers.accept, ['application/json', 'text/html']);
        return type === 'text/html' ? reply.type('text/html; charset=utf-8').send(html) : index;
      },
    );
  });
}
