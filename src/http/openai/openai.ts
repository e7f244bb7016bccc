// POST /v1/images/edits and GET /v1/models: OpenAI's image API as a translation. Its names to ours, our pictures to its answers.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { type Config, pairs } from '../../config.js';
import type { Choice } from '../generators/shelf.js';
import type { ClientNames } from '../pictures/client-names.js';
import type { FieldTable } from '../pictures/field.js';
import type { Sent } from '../pictures/fields.js';
import { ignoredFieldsHeader } from '../pictures/ignored-fields.js';
import { eachSeed } from '../pictures/parameters.js';
import { answerHeaders } from '../pictures/report.js';
import { type Kitchen, pictureRoute } from '../pictures/route.js';
import type { ProblemCode } from '../problems/problem-codes.js';
import { fieldProblem, Problem, responsesFor, toProblem } from '../problems/problems.js';
import { longestPathPart } from '../server/paths.js';
import { editEvents, edited, openAiError } from './answers.js';
import {
  type EditBody,
  EditEvent,
  Edited,
  editForm,
  editJson,
  OpenAiError,
  OpenAiModel,
  withoutEffect,
} from './fields.js';
import { checkReferences, ImageReference } from './references.js';
import { sizeAsked } from './size.js';

const responses = (...codes: ProblemCode[]) => responsesFor(codes, 'application/json', 'OpenAiError', openAiError);

/** To be registered with the prefix /v1. */
export function openAiRoutes(app: FastifyInstance, kitchen: Kitchen): void {
  const { config, fields, shelf } = kitchen;
  const aliases = pairs(config.MODEL_ALIASES);
  const modelOf = (name?: string) => {
    try {
      return shelf.choose(name === undefined ? undefined : (aliases.get(name) ?? name));
    } catch (error) {
      throw withAliasesNamed(error);
    }
  };
  for (const schema of [Edited, EditEvent, OpenAiModel, OpenAiError, ImageReference]) app.addSchema(schema);
  const form = editForm(fields, config);
  const json = editJson(fields, config);

  pictureRoute<EditBody>(app, kitchen, {
    path: '/images/edits',
    about: {
      operationId: 'editImage',
      summary: "OpenAI's image edits",
      description:
        "For clients of OpenAI: only the base URL and the key change. OpenAI's fields keep OpenAI's meaning; ours come under our names. What has no effect here is named in `Img2img-Ignored-Fields`. Errors have OpenAI's shape.",
      tags: ['OpenAI'],
    },
    form,
    json,
    pictures: [
      { slot: 'image', field: 'image', alias: 'image[]' },
      { slot: 'image', field: 'images', inJson: ({ images }) => urlOf((images as unknown[] | undefined)?.[0]) },
      { slot: 'mask', field: 'mask', inJson: ({ mask }) => urlOf(mask) },
    ],
    success: {
      description: 'The pictures; with `stream` an event stream.',
      headers: { ...answerHeaders(fields), ...ignoredFieldsHeader },
      content: {
        'application/json': { schema: Type.Ref('Edited') },
        'text/event-stream': { schema: Type.Ref('EditEvent') },
      },
    },
    problems: responses,
    tidy(body) {
      checkReferences(body);
      return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
    },
    understand(body) {
      refuse(body);
      const choice = modelOf(body.model);
      const maxPixels = Math.min(config.MAX_PIXELS, choice.generator?.limits.pixels ?? config.MAX_PIXELS);
      const { size, adjusted } = sizeAsked(body.size ?? 'auto', choice.model.size, maxPixels);
      const sent = { ...translate(body, fields, choice, config), ...size };
      return {
        order: {
          bodies: eachSeed(sent, body.n ?? 1, config.MAX_N),
          maskReading: { channel: 'transparency' },
          warnings: adjusted ? ['size_adjusted'] : [],
        },
        names: 'images' in body ? { ...names, image: { field: 'images' } } : names,
        preview: body.stream && (body.partial_images ?? 0) > 0,
        events: body.stream ? (plan) => editEvents(body, plan) : undefined,
        answer: (made) => ({ body: edited(made, body) }),
        ignored: withoutEffect(body, [form.properties, json.properties]),
      };
    },
  });

  const shown = (id: string) => ({ id, object: 'model' as const, created: 0, owned_by: 'img2img' });
  const runnable = () => [
    ...shelf.models.filter((model) => model.runnable).map(({ name }) => name),
    ...shelf.others.filter((one) => 'model' in one).map(({ name }) => name),
  ];
  app.get(
    '/models',
    {
      schema: {
        operationId: 'listOpenAiModels',
        summary: 'The models, for clients of OpenAI',
        description: 'Those that can run, generators among them, and the aliases of `MODEL_ALIASES`.',
        tags: ['OpenAI'],
        response: {
          200: {
            description: 'The models',
            content: {
              'application/json': {
                schema: Type.Object({ object: Type.Literal('list'), data: Type.Array(Type.Ref('OpenAiModel')) }),
              },
            },
          },
          ...responses('unauthorized'),
        },
      },
    },
    async () => ({ object: 'list', data: [...runnable(), ...aliases.keys()].map(shown) }),
  );
  app.get<{ Params: { model: string } }>(
    '/models/:model',
    {
      schema: {
        operationId: 'getOpenAiModel',
        summary: 'One model, for clients of OpenAI',
        description: 'Whether there is such a model.',
        tags: ['OpenAI'],
        params: Type.Object({ model: Type.String({ maxLength: longestPathPart }) }),
        response: {
          200: { description: 'The model', content: { 'application/json': { schema: Type.Ref('OpenAiModel') } } },
          ...responses(
            'invalid_request',
            'unauthorized',
            'model_not_found',
            'model_not_runnable',
            'not_ready',
            'draining',
          ),
        },
      },
    },
    async ({ params }) => {
      modelOf(params.model);
      return shown(params.model);
    },
  );
}

/** OpenAI's words for what it comes to. */
const names: ClientNames = {
  width: { field: 'size', phrase: "size's width" },
  height: { field: 'size', phrase: "size's height" },
  format: { field: 'output_format' },
  quality: { field: 'output_compression' },
};

const urlOf = (reference: unknown) => (reference as { image_url?: unknown } | null | undefined)?.image_url;

/** Clients of OpenAI that insist on its models' names have a way out, which their users may not know of. */
function withAliasesNamed(error: unknown): unknown {
  const { code, message, more } = toProblem(error as Error);
  if (code !== 'model_not_found') return error;
  const way = 'The setting MODEL_ALIASES gives models other names: MODEL_ALIASES=gpt-image-1=<model>.';
  return new Problem(code, `${message} ${way}`, { ...more, errors: [{ pointer: '#/model', detail: message }] });
}

/** What OpenAI offers and this server cannot do. */
function refuse({ response_format, background }: EditBody): void {
  if (response_format === 'url') {
    const detail = 'response_format is "url"; pictures are not stored here, so that there is no URL: send b64_json.';
    throw fieldProblem('invalid_request', 'response_format', detail);
  }
  if (background === 'transparent') {
    const detail = 'background is "transparent"; the pictures of this server are opaque: send opaque or auto.';
    throw fieldProblem('invalid_request', 'background', detail);
  }
}

/** How OpenAI's quality, the work that is put in, changes a model's default steps. */
const stepsFactor: Partial<Record<NonNullable<EditBody['quality']>, number>> = { low: 0.5, high: 2, hd: 2 };

function translate(body: EditBody, table: FieldTable, { name, model, generator }: Choice, { MAX_STEPS }: Config): Sent {
  const factor = stepsFactor[body.quality ?? 'auto'] ?? 1;
  const shared = Object.entries(body).filter(([name]) => table[name]?.onV1);
  return {
    ...Object.fromEntries(shared),
    prompt: body.prompt,
    model: name,
    steps:
      body.steps ?? Math.min(Math.ceil(model.defaults.steps * factor), generator?.limits.steps ?? MAX_STEPS, MAX_STEPS),
    format: body.output_format ?? 'png',
    ...(body.output_format && body.output_format !== 'png' && { quality: Math.max(1, body.output_compression ?? 100) }),
  };
}
