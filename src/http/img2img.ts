// POST /img2img: body -> what will run -> starter -> engine -> picture -> answer.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../config.js';
import { type Engine, EngineError, type EngineErrorCode, type Generated } from '../engine/engine.js';
import { decode, inspect } from '../image/decode.js';
import { encode, formats } from '../image/encode.js';
import { answerHeaders, writeHeaders } from './answer-headers.js';
import { deadlineSignal } from './deadline.js';
import { bodyLimit, formBody, type Img2ImgBody, jsonBody } from './fields.js';
import type { Metrics, StageTimes } from './metrics.js';
import { settle } from './parameters.js';
import { fieldProblem, problemResponses } from './problems.js';
import { type FieldTypes, readBody } from './upload.js';
import { uploadBudget } from './upload-budget.js';
import { warningsFor } from './warnings.js';

export function img2imgRoute(app: FastifyInstance, config: Config, engine: Engine, metrics: Metrics): void {
  const form = formBody(config);
  app.post<{ Body: Img2ImgBody }>(
    '/img2img',
    {
      schema: {
        operationId: 'img2img',
        summary: 'One picture and a prompt in, one picture out',
        description:
          "Moves a starter picture towards the prompt. `influence` says how much of the starter stays, `guidance` how far the prompts pull. The answer's headers say what ran.",
        tags: ['Pictures'],
        headers: Type.Object({
          'x-request-timeout-ms': Type.Optional(
            Type.String({
              pattern: '^[1-9][0-9]{0,8}$',
              description: "Milliseconds until a 504; the server's own limit counts if it is smaller.",
            }),
          ),
        }),
        body: {
          content: { 'multipart/form-data': { schema: form }, 'application/json': { schema: jsonBody(config) } },
        },
        response: {
          200: {
            description:
              'The picture. The headers tell the parameters that ran; `Img2img-Warnings` names what was changed or had no effect.',
            headers: answerHeaders,
            content: Object.fromEntries(
              formats.map((format) => [`image/${format}`, { schema: Type.String({ format: 'binary' }) }]),
            ),
          },
          ...problemResponses(
            'invalid_request',
            'unauthorized',
            'model_not_found',
            'not_acceptable',
            'upload_too_large',
            'unsupported_media_type',
            'unsupported_picture',
            'undecodable_picture',
            'picture_too_large',
            'size_not_supported',
            'model_not_runnable',
            'too_large_for_device',
            'unsupported_combination',
            'overloaded',
            'deadline_unattainable',
            'rate_limited',
            'internal',
            'request_kills_worker',
            'draining',
            'not_ready',
            'worker_lost',
            'deadline_exceeded',
          ),
        },
      },
      onRequest: uploadBudget({ maxBytes: bodyLimit(config), maxTotalBytes: config.MAX_UPLOADS_BYTES }),
      preValidation: async (request, reply) => {
        await readBody(request, form.properties as FieldTypes, ['image'], config.MAX_UPLOAD_BYTES);
        request.uploadMs = reply.elapsedTime;
      },
    },
    async (request, reply) => {
      const start = performance.now();
      const bytes = request.pictures.image;
      if (!bytes) throw fieldProblem('invalid_request', 'image', 'image is missing.');
      const model = engine.model(request.body.model);
      const { signal, deadline, done } = deadlineSignal(request, reply, config.REQUEST_TIMEOUT_MS);
      try {
        engine.assertRoom();
        const starter = await inspect(bytes, config.MAX_INPUT_PIXELS);
        const parameters = await settle(request.body, request.headers.accept, model, starter, config.MAX_PIXELS);
        const { size, fit, background, format } = parameters;
        const { pixels, converted } = await decode(starter, size, fit, background);
        const decodeMs = performance.now() - start;

        const jobs = [{ model: model.name, request: { ...parameters.request, pixels } }];
        const [result] = (await engine.generate(jobs, { signal, deadline })) as [Generated];

        const encodeStart = performance.now();
        const provenance =
          parameters.request.strength === 1 ? 'trainedAlgorithmicMedia' : 'compositeWithTrainedAlgorithmicMedia';
        const picture = await encode(result.pixels, format, provenance);
        const stageTimes: StageTimes = {
          upload: request.uploadMs,
          decode: decodeMs,
          queue: result.queueMs,
          text_encode: result.timings.textEncode,
          vae_encode: result.timings.vaeEncode,
          denoise: result.timings.denoise,
          vae_decode: result.timings.vaeDecode,
          encode: performance.now() - encodeStart,
        };
        metrics.generated(model.name, (performance.now() - start) / 1000, stageTimes, result);
        const warnings = warningsFor(request.body, parameters, starter, converted, result);
        writeHeaders(reply, parameters, result, stageTimes, warnings);
        return reply.type(`image/${format}`).send(picture);
      } catch (error) {
        const outcome = error instanceof EngineError && outcomes[error.code];
        if (outcome) metrics.failed(model.name, (performance.now() - start) / 1000, outcome);
        throw error;
      } finally {
        done();
      }
    },
  );
}

declare module 'fastify' {
  interface FastifyRequest {
    /** How long the body took to come in, ms. */
    uploadMs: number;
  }
}

/** How accepted work can end without a picture. What was refused was not accepted. */
const outcomes: Partial<Record<EngineErrorCode, 'error' | 'cancelled' | 'deadline'>> = {
  cancelled: 'cancelled',
  interrupted: 'cancelled',
  deadline_exceeded: 'deadline',
  worker_lost: 'error',
  request_kills_worker: 'error',
  model_not_runnable: 'error',
  internal: 'error',
};

/** Initial values of what the route adds to a request. */
export function decorate(app: FastifyInstance): void {
  app.decorateRequest('uploadMs', 0);
  app.decorateRequest('pictures', null as unknown as FastifyRequest['pictures']);
}
