// GET /loras: the LoRAs that requests can name, and those that cannot be used, with the reason.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Engine, LoraEntry } from '../engine/host/engine.js';
import { loraFamilies } from '../model-facts.js';
import { problemResponses } from './problems/problems.js';

const Lora = Type.Object(
  {
    name: Type.String({ description: 'What the field `lora` takes' }),
    family: Type.Optional(
      Type.Enum([...loraFamilies], {
        type: 'string',
        description: 'The models that it is for, as far as its file tells',
      }),
    ),
    rank: Type.Optional(Type.Integer({ description: 'The largest of its layers' })),
    trigger_words: Type.Optional(
      Type.Array(Type.String(), { description: 'Words for the prompt, where its file names some' }),
    ),
    digest: Type.Optional(Type.String({ description: 'sha256 of the file' })),
    runnable: Type.Boolean(),
    reason: Type.Union([Type.String(), Type.Null()], { description: 'Why it cannot be used' }),
  },
  { $id: 'Lora' },
);

export function loraRoutes(app: FastifyInstance, engine: Engine): void {
  app.addSchema(Lora);
  app.get(
    '/loras',
    {
      schema: {
        operationId: 'listLoras',
        summary: 'The LoRAs that requests can name',
        description: 'All files in LORAS_DIR. What is put there while the server runs is found.',
        tags: ['Models'],
        response: {
          200: {
            description: 'All LoRAs',
            content: { 'application/json': { schema: Type.Object({ loras: Type.Array(Type.Ref('Lora')) }) } },
          },
          ...problemResponses('unauthorized'),
        },
      },
    },
    async () => ({ loras: engine.loras.map(shown) }),
  );
}

function shown(lora: LoraEntry) {
  if (!lora.runnable) return lora;
  const { name, family, rank, triggerWords, digest } = lora;
  return { name, family, rank, trigger_words: triggerWords, digest, runnable: true, reason: null };
}
