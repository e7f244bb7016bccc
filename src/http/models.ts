// GET /models: the generators that this replica can serve, and those that it cannot, with the reason.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../config.js';
import { type CatalogueEntry, type Engine, type ModelInfo, schedulerNames } from '../engine/host/engine.js';
import { kinds, loraFamilies, precisions } from '../model-facts.js';
import { fieldProblem, problemResponses } from './problems/problems.js';

const Model = Type.Object(
  {
    name: Type.String({ description: 'What the field `model` takes' }),
    kind: Type.Optional(
      Type.Enum([...kinds], {
        type: 'string',
        description:
          'Stable Diffusion 1.x and 2.x (`sd`, `sd-v` with v-prediction), XL, their turbo forms, latent consistency models',
      }),
    ),
    exporter: Type.Optional(Type.String({ description: 'Whose habits the graphs show' })),
    precision: Type.Optional(Type.Enum([...precisions], { type: 'string', description: 'Of the weights' })),
    runnable: Type.Boolean(),
    reason: Type.Optional(Type.String({ description: 'Why it cannot run' })),
    note: Type.Optional(Type.String({ description: 'What this server changed of its defaults' })),
    title: Type.Optional(Type.String()),
    description: Type.Optional(Type.String()),
    license: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    digest: Type.Optional(Type.String({ description: 'sha256 over the folder' })),
    vocabulary: Type.Optional(
      Type.Object(
        {
          styles: Type.Array(Type.String()),
          qualities: Type.Array(Type.String()),
          colours: Type.Array(Type.String()),
          other: Type.Array(Type.String(), { description: 'Synonyms, and what fits nowhere else' }),
        },
        { description: 'The words that the model knows; absent where its folder names none' },
      ),
    ),
    loaded: Type.Optional(Type.Boolean({ description: 'False until its first request' })),
    size: Type.Optional(
      Type.Object(
        { native: Type.Integer(), multiple: Type.Integer(), min: Type.Integer(), max: Type.Integer() },
        { description: 'Sides that it can make, in pixels' },
      ),
    ),
    lora_family: Type.Optional(
      Type.Union([Type.Enum([...loraFamilies], { type: 'string' }), Type.Null()], {
        description: 'Of the LoRAs that it takes; null where it takes none',
      }),
    ),
    row_budgets: Type.Optional(
      Type.Array(Type.Object({ width: Type.Integer(), height: Type.Integer(), rows: Type.Integer() }), {
        description:
          'Rows of one UNet call beyond which more gain nothing here, as measured when the model was loaded; a guided picture takes two',
      }),
    ),
    limits: Type.Optional(
      Type.Object(
        { steps: Type.Integer(), pixels: Type.Integer(), prompt_chars: Type.Integer() },
        { description: 'The most that a request may ask for' },
      ),
    ),
    defaults: Type.Optional(
      Type.Object({
        steps: Type.Integer(),
        guidance: Type.Number(),
        scheduler: Type.Enum(schedulerNames, { type: 'string' }),
      }),
    ),
  },
  { $id: 'Model' },
);

export function modelRoutes(app: FastifyInstance, config: Config, engine: Engine): void {
  const limits = { steps: config.MAX_STEPS, pixels: config.MAX_PIXELS, prompt_chars: config.MAX_PROMPT_CHARS };
  const shown = (model: CatalogueEntry) =>
    model.runnable ? { ...model, row_budgets: rowBudgets(model), limits, lora_family: model.loraFamily } : model;
  app.addSchema(Model);
  app.get(
    '/models',
    {
      schema: {
        operationId: 'listModels',
        summary: 'The models that this server can run',
        description: 'The first one that runs is the default.',
        tags: ['Models'],
        response: {
          200: { description: 'All models', ...json(Type.Object({ models: Type.Array(Type.Ref('Model')) })) },
          ...problemResponses('unauthorized'),
        },
      },
    },
    async () => ({ models: engine.models.map(shown) }),
  );
  app.get<{ Params: { model: string } }>(
    '/models/:model',
    {
      schema: {
        operationId: 'getModel',
        summary: 'One model',
        description: 'What it can make, its defaults and limits, its licence and digest, or why it cannot run.',
        tags: ['Models'],
        params: Type.Object({ model: Type.String() }),
        response: {
          200: { description: 'The model', ...json(Type.Ref('Model')) },
          ...problemResponses('unauthorized', 'model_not_found', 'not_ready'),
        },
      },
    },
    async ({ params }) => {
      if (engine.models.length === 0) engine.model(); // not ready, and it says why
      const found = engine.models.find((model) => model.name === params.model);
      if (!found)
        throw fieldProblem(
          'model_not_found',
          'model',
          `There is no model ${JSON.stringify(params.model)}; see GET /models.`,
        );
      return shown(found);
    },
  );
}

/** None while nothing was measured: the model is not loaded, or MAX_CONCURRENT decides. */
function rowBudgets({ capacities }: ModelInfo) {
  return capacities?.flatMap(({ width, height, maxRows }) => (maxRows ? [{ width, height, rows: maxRows }] : []));
}

const json = (schema: object) => ({ content: { 'application/json': { schema } } });
