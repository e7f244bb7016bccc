// GET /embeddings: the textual inversions that prompts can name, and those that cannot be used, with the reason.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Engine } from '../engine/host/engine.js';
import { problemResponses } from './problems/problems.js';

const Embedding = Type.Object(
  {
    name: Type.String({ description: 'What a prompt takes, in whatever letters' }),
    runnable: Type.Boolean({ description: 'Whether it can be used, on a model of its widths' }),
    vectors: Type.Optional(Type.Integer({ description: 'How many tokens it takes the place of' })),
    widths: Type.Optional(
      Type.Array(Type.Integer(), {
        description:
          'Of its vectors, for each text encoder: 768 for Stable Diffusion 1, 1024 for 2, 768 and 1280 for SDXL',
      }),
    ),
    reason: Type.Optional(Type.String({ description: 'Why it cannot be used' })),
  },
  { $id: 'Embedding' },
);

export function embeddingRoutes(app: FastifyInstance, engine: Engine): void {
  app.addSchema(Embedding);
  app.get(
    '/embeddings',
    {
      schema: {
        operationId: 'listEmbeddings',
        summary: 'The textual inversions that prompts can name',
        description: 'The files of `EMBEDDINGS_DIR`, by name.',
        tags: ['Models'],
        response: {
          200: {
            description: 'All textual inversions',
            content: { 'application/json': { schema: Type.Object({ embeddings: Type.Array(Type.Ref('Embedding')) }) } },
          },
          ...problemResponses('unauthorized'),
        },
      },
    },
    async () => ({ embeddings: engine.embeddings }),
  );
}
