// POST /img2img: body -> what will run -> starter -> engine -> picture -> answer.

import { randomInt } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../config.js';
import {
  type Engine,
  EngineError,
  type Generated,
  type Img2ImgRequest,
  type ModelInfo,
  stepsToRun,
} from '../engine/engine.js';
import { decode, inspect, isColour, type Starter } from '../image/decode.js';
import { encode, type Format, formats } from '../image/encode.js';
import { outputSize, type Size } from '../image/size.js';
import { deadlineSignal } from './deadline.js';
import { defaults, formBody, type Img2ImgBody, jsonBody, maxSeed } from './fields.js';
import type { Metrics, StageTimes } from './metrics.js';
import { acceptedFormat } from './negotiation.js';
import { fieldProblem, Problem, problemResponses } from './problems.js';
import { type FieldTypes, readBody } from './upload.js';
import { type Warning, warningsFor } from './warnings.js';

/** What a request comes to once every default is settled. */
export interface Parameters extends Omit<Img2ImgRequest, 'pixels'> {
  readonly model: ModelInfo;
  readonly influence: number;
  readonly size: Size;
  readonly format: Format;
}

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
        const { fit = defaults.fit, background = defaults.background } = request.body;
        if (!isColour(background)) {
          const detail = `background is ${JSON.stringify(background)}; it must be #rgb, #rrggbb or a CSS colour name.`;
          throw fieldProblem('invalid_request', 'background', detail);
        }
        const pixels = await decode(starter, parameters.size, fit, background);
        const decodeMs = performance.now() - start;

        const { model: _, influence, size, format, ...rest } = parameters;
        const result = await engine.generate(model.name, { ...rest, pixels }, signal);

        const encodeStart = performance.now();
        const provenance =
          parameters.strength === 1 ? 'trainedAlgorithmicMedia' : 'compositeWithTrainedAlgorithmicMedia';
        const picture = await encode(result.pixels, parameters.format, provenance);
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
        return reply.type(`image/${parameters.format}`).send(picture);
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

/** Settles every default, and refuses what cannot be. */
function settle(
  body: Img2ImgBody,
  accept: string | undefined,
  model: ModelInfo,
  starter: Starter,
  maxPixels: number,
): Parameters {
  if (body.strength !== undefined && body.influence !== undefined) {
    const detail =
      'strength and influence are two names for one thing (influence = 100 * (1 - strength)); send one of them.';
    throw new Problem('invalid_request', detail, {
      errors: [
        { pointer: '#/strength', detail },
        { pointer: '#/influence', detail },
      ],
    });
  }
  const format = body.format ?? acceptedFormat(accept);
  if (!format) {
    const offered = formats.map((name) => `image/${name}`).join(', ');
    throw new Problem('not_acceptable', `Accept is ${JSON.stringify(accept)}; offered are: ${offered}.`);
  }
  const size = outputSize(starter, body, model.size);
  if (size.width * size.height > maxPixels) {
    const detail = `The answer would have ${size.width} x ${size.height} = ${size.width * size.height} pixels; at most ${maxPixels} are made.`;
    throw fieldProblem('size_not_supported', body.width === undefined ? 'height' : 'width', detail);
  }
  // (100 - influence) / 100 and not 1 - influence / 100: the strength must be the double that a person would write.
  const strength = body.strength ?? (body.influence === undefined ? defaults.strength : (100 - body.influence) / 100);
  const influence = body.influence ?? Number((100 * (1 - strength)).toFixed(6));
  return {
    model,
    prompt: body.prompt ?? '',
    negativePrompt: body.negative_prompt ?? '',
    strength,
    influence,
    guidanceScale: body.guidance ?? model.defaults.guidance,
    steps: body.steps ?? model.defaults.steps,
    scheduler: body.scheduler ?? model.defaults.scheduler,
    seed: body.seed === undefined || body.seed === -1 ? randomInt(maxSeed + 1) : body.seed,
    size,
    format,
  };
}

const header = (description: string) => Type.String({ description });
const answerHeaders = {
  'X-Request-Id': header('Names the request in the log'),
  'Img2img-Seed': header('The seed, drawn or given'),
  'Img2img-Strength': header('Strength'),
  'Img2img-Influence': header('Influence in percent'),
  'Img2img-Guidance': header('Guidance scale'),
  'Img2img-Steps': header('Length of the full schedule'),
  'Img2img-Steps-Run': header('Positions of the schedule that were run'),
  'Img2img-Unet-Calls': header('UNet calls'),
  'Img2img-Scheduler': header('Noise scheduler'),
  'Img2img-Model': header('Model'),
  'Img2img-Model-Digest': header('sha256 of the model folder'),
  'Img2img-Size': header('Width x height'),
  'Img2img-Engine': header('What equality of bytes can be expected of: runtime and device'),
  'Img2img-Warnings': header('Codes of what was changed or had no effect, comma-separated; absent when there is none'),
  'Server-Timing': header('Milliseconds per stage'),
};

function writeHeaders(
  reply: FastifyReply,
  parameters: Parameters,
  result: Generated,
  stageTimes: StageTimes,
  warnings: readonly Warning[],
): void {
  const { model, size } = parameters;
  reply.headers({
    'img2img-seed': parameters.seed,
    'img2img-strength': parameters.strength,
    'img2img-influence': parameters.influence,
    'img2img-guidance': parameters.guidanceScale,
    'img2img-steps': parameters.steps,
    'img2img-steps-run': stepsToRun(parameters.steps, parameters.strength),
    'img2img-unet-calls': result.unetCalls,
    'img2img-scheduler': parameters.scheduler,
    'img2img-model': encodeURIComponent(model.name),
    'img2img-model-digest': model.digest,
    'img2img-size': `${size.width}x${size.height}`,
    'img2img-engine': result.fingerprint,
    'server-timing': [...Object.entries(stageTimes), ['model_runs', result.modelRunMs] as const]
      .map(([stage, ms]) => `${stage};dur=${ms.toFixed(1)}`)
      .join(', '),
    'cache-control': 'no-store',
    ...(warnings.length > 0 && { 'img2img-warnings': warnings.join(', ') }),
  });
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
