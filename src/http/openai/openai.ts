// POST /v1/images/edits and GET /v1/models: OpenAI's image API as a translation. Its names to ours, our pictures to its answers.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { type Config, pairs } from '../../config.js';
import type { Engine, ModelInfo, Progress } from '../../engine/host/engine.js';
import type { Img2ImgBody } from '../pictures/fields.js';
import { makingProblems, type PictureMaker } from '../pictures/generation.js';
import { ignoredFieldsHeader, writeIgnoredFields } from '../pictures/ignored-fields.js';
import { sendJson } from '../pictures/img2img.js';
import { eachSeed } from '../pictures/parameters.js';
import { answerWithEvents } from '../pictures/progress-stream.js';
import { answerHeaders, writeHeaders } from '../pictures/report.js';
import { type FieldTypes, readBody } from '../pictures/upload.js';
import type { ProblemCode } from '../problems/problem-codes.js';
import { fieldProblem, responsesFor } from '../problems/problems.js';
import { deadlineSignal, timeoutHeader } from '../server/deadline.js';
import type { UploadBudget } from '../server/upload-budget.js';
import { editEvents, edited, openAiError } from './answers.js';
import { type EditBody, EditEvent, Edited, editForm, OpenAiError, OpenAiModel, withoutEffect } from './fields.js';

export interface OpenAiOptions {
  readonly config: Config;
  readonly engine: Engine;
  readonly maker: PictureMaker;
  readonly budget: UploadBudget;
}

const responses = (...codes: ProblemCode[]) => responsesFor(codes, 'application/json', 'OpenAiError', openAiError);

/** To be registered with the prefix /v1. */
export function openAiRoutes(app: FastifyInstance, { config, engine, maker, budget }: OpenAiOptions): void {
  const form = editForm(config);
  const aliases = pairs(config.MODEL_ALIASES);
  const modelOf = (name?: string) => engine.model(name === undefined ? undefined : (aliases.get(name) ?? name));
  for (const schema of [Edited, EditEvent, OpenAiModel, OpenAiError]) app.addSchema(schema);

  app.post<{ Body: EditBody }>(
    '/images/edits',
    {
      schema: {
        operationId: 'editImage',
        summary: "OpenAI's image edits",
        description:
          "For clients of OpenAI: only the base URL and the key change. OpenAI's fields keep OpenAI's meaning; ours come under our names. What has no effect here is named in `Img2img-Ignored-Fields`. Errors have OpenAI's shape.",
        tags: ['OpenAI'],
        headers: Type.Object(timeoutHeader),
        consumes: ['multipart/form-data'],
        body: { content: { 'multipart/form-data': { schema: form } } },
        response: {
          200: {
            description: 'The pictures; with `stream` an event stream.',
            headers: { ...answerHeaders, ...ignoredFieldsHeader },
            content: {
              'application/json': { schema: Type.Ref('Edited') },
              'text/event-stream': { schema: Type.Ref('EditEvent') },
            },
          },
          ...responses('invalid_request', 'unauthorized', 'unsupported_media_type', 'rate_limited', ...makingProblems),
        },
      },
      onRequest: budget,
      preValidation: async (request, reply) => {
        const pictures = ['image', 'image[]', 'mask'];
        await readBody(request, form.properties as FieldTypes, pictures, config.MAX_UPLOAD_BYTES);
        request.uploadMs = reply.elapsedTime;
      },
    },
    async (request, reply) => {
      const { body, pictures, caller, trace, uploadMs } = request;
      refuse(body);
      const ours = translate(body, modelOf(body.model), config);
      const { signal, deadline } = deadlineSignal(request, reply, config.REQUEST_TIMEOUT_MS);
      const plan = await maker.plan(
        {
          bodies: eachSeed(ours, body.n ?? 1),
          image: onlyOne(pictures.image, pictures['image[]']),
          mask: pictures.mask,
          maskReading: { channel: 'transparency' },
        },
        { caller: caller ?? request.ip, signal, deadline },
      );
      writeIgnoredFields(reply, withoutEffect(body));
      const options = { signal, deadline, caller, trace, uploadMs };
      if (body.stream) {
        const preview = (body.partial_images ?? 0) > 0;
        const run = (onProgress: (progress: Progress) => void) => maker.run(plan, { ...options, preview, onProgress });
        return answerWithEvents(request, reply, config.HEARTBEAT_MS, run, editEvents(body, plan));
      }
      const made = await maker.run(plan, options);
      writeHeaders(reply, made);
      return sendJson(reply, edited(made, body));
    },
  );

  const shown = (id: string) => ({ id, object: 'model' as const, created: 0, owned_by: 'img2img' });
  const runnable = () => engine.models.filter((model) => model.runnable).map(({ name }) => name);
  app.get(
    '/models',
    {
      schema: {
        operationId: 'listOpenAiModels',
        summary: 'The models, for clients of OpenAI',
        description: 'Those that can run, and the aliases of `MODEL_ALIASES`.',
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
        params: Type.Object({ model: Type.String() }),
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

function onlyOne(image: Buffer | undefined, listed: Buffer | undefined): Buffer | undefined {
  if (image && listed) {
    throw fieldProblem('invalid_request', 'image', 'image is there more than once; one starter picture is taken.');
  }
  return image ?? listed;
}

/** How OpenAI's quality, the work that is put in, changes a model's default steps. */
const stepsFactor: Partial<Record<NonNullable<EditBody['quality']>, number>> = { low: 0.5, high: 2, hd: 2 };

const shared = ['prompt', 'negative_prompt', 'strength', 'influence', 'guidance', 'scheduler', 'seed'] as const;

function translate(body: EditBody, model: ModelInfo, { MAX_STEPS }: Config): Img2ImgBody {
  const [width, height] = (body.size ?? 'auto').split('x').map(Number);
  const factor = stepsFactor[body.quality ?? 'auto'] ?? 1;
  return {
    ...Object.fromEntries(shared.filter((name) => name in body).map((name) => [name, body[name]])),
    image: '',
    model: model.name,
    steps: body.steps ?? Math.min(Math.ceil(model.defaults.steps * factor), MAX_STEPS),
    ...(width && height && { width, height }),
    format: body.output_format ?? 'png',
    ...(body.output_format && body.output_format !== 'png' && { quality: Math.max(1, body.output_compression ?? 100) }),
  };
}
