// POST /img2img: body -> what will run -> starter -> engine -> picture -> answer.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../config.js';
import { type Engine, EngineError } from '../engine/engine.js';
import { decode, inspect } from '../image/decode.js';
import { encode, formats } from '../image/encode.js';
import { answerHeaders, writeHeaders } from './answer-headers.js';
import { deadlineSignal } from './deadline.js';
import { formBody, type Img2ImgBody, jsonBody } from './fields.js';
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
        summary: 'One picture and a prompt in, one picture out',
        description:
          "Moves a starter picture towards the prompt. `influence` says how much of the starter stays, `guidance` how far the prompts pull. The answer's headers say what ran.",
        tags: ['Pictures'],
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
            'overloaded',
            'internal',
            'draining',
            'not_ready',
            'worker_lost',
            'deadline_exceeded',
          ),
        },
      },
      onRequest: uploadBudget({ maxBytes: config.MAX_UPLOAD_BYTES, maxTotalBytes: config.MAX_UPLOADS_BYTES }),
      preValidation: async (request) => {
        const start = performance.now();
        await readBody(request, form.properties as FieldTypes, ['image'], config.MAX_UPLOAD_BYTES);
        request.uploadMs = performance.now() - start;
      },
    },
    async (request, reply) => {
      const start = performance.now();
      const bytes = request.pictures.image;
      if (!bytes) throw fieldProblem('invalid_request', 'image', 'image is missing.');
      const model = engine.model(request.body.model);
      const { signal, done } = deadlineSignal(request, reply, config.REQUEST_TIMEOUT_MS);
      try {
        const starter = await inspect(bytes, config.MAX_INPUT_PIXELS);
        const parameters = settle(request.body, request.headers.accept, model, starter, config.MAX_PIXELS);
        const { size, fit, background, format } = parameters;
        const pixels = await decode(starter, size, fit, background);
        const decodeMs = performance.now() - start;

        const result = await engine.generate(model.name, { ...parameters.request, pixels }, signal);

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
        const warnings = warningsFor(request.body, parameters, starter, result);
        writeHeaders(reply, parameters, result, stageTimes, warnings);
        return reply.type(`image/${format}`).send(picture);
      } catch (error) {
        if (error instanceof EngineError)
          metrics.failed(model.name, (performance.now() - start) / 1000, outcome(error));
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

function outcome(error: EngineError): 'error' | 'cancelled' | 'deadline' {
  if (error.code === 'cancelled') return 'cancelled';
  return error.code === 'deadline_exceeded' ? 'deadline' : 'error';
}

/** Initial values of what the route adds to a request. */
export function decorate(app: FastifyInstance): void {
  app.decorateRequest('uploadMs', 0);
  app.decorateRequest('pictures', null as unknown as FastifyRequest['pictures']);
}
