// POST /img2img: body -> what is asked for -> pictures -> the answer that Accept asks for.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../../config.js';
import { formats } from '../../image/encode.js';
import { problemResponses } from '../problems/problems.js';
import { deadlineSignal, timeoutHeader } from '../server/deadline.js';
import { negotiate, preferred } from '../server/negotiation.js';
import type { UploadBudget } from '../server/upload-budget.js';
import { formBody, type Img2ImgBody, jsonBody, pictureFields } from './fields.js';
import { makingProblems, type PictureMaker } from './generation.js';
import { eachSeed } from './parameters.js';
import { answerWithEvents } from './progress-stream.js';
import { answerHeaders, DryRunBody, dryRunBody, MadeBody, madeBody, Ran, writeHeaders } from './report.js';
import { type FieldTypes, readBody } from './upload.js';
import type { Warning } from './warnings.js';

export const pictureTypes = formats.map((format) => `image/${format}` as const);

const eventsDescription = [
  'Events, each with JSON as its data:',
  '`queued` (`position`, 0 when it runs at once, and `estimated_wait_ms`);',
  '`step` for each step (`index` of the picture, `step` of `steps`, and with `preview` a small `preview` picture: `b64_json`, `width`, `height`, `format`), of which a slow reader gets fewer;',
  '`image` for each picture (`index`, and what stands in `images` of the JSON answer);',
  '`done` (the JSON answer without `images`); or `error` (a problem document).',
  'Comments keep the line open. What is refused at once is an ordinary problem with its status.',
].join(' ');

export function img2imgRoute(app: FastifyInstance, config: Config, maker: PictureMaker, budget: UploadBudget): void {
  const form = formBody(config);
  app.addSchema(Ran);
  app.addSchema(MadeBody);
  app.addSchema(DryRunBody);
  app.post<{ Body: Img2ImgBody }>(
    '/img2img',
    {
      schema: {
        operationId: 'img2img',
        summary: 'One picture and a prompt in, one picture out',
        description:
          "Moves a starter picture towards the prompt. `influence` says how much of the starter stays, `guidance` how far the prompts pull. The answer's headers say what ran.",
        tags: ['Pictures'],
        headers: Type.Object(timeoutHeader),
        body: {
          content: { 'multipart/form-data': { schema: form }, 'application/json': { schema: jsonBody(config) } },
        },
        response: {
          200: {
            description:
              'The picture, or as JSON one or more of them. The headers tell the parameters that ran; `Img2img-Warnings` names what was changed or had no effect.',
            headers: answerHeaders,
            content: {
              ...Object.fromEntries(pictureTypes.map((type) => [type, { schema: Type.String({ format: 'binary' }) }])),
              'application/json': { schema: Type.Union([Type.Ref('Made'), Type.Ref('DryRun')]) },
              'text/event-stream': { schema: Type.String({ description: eventsDescription }) },
            },
          },
          ...problemResponses(
            'invalid_request',
            'unauthorized',
            'rate_limited',
            'not_acceptable',
            'unsupported_media_type',
            ...makingProblems,
          ),
        },
      },
      onRequest: budget,
      preValidation: async (request, reply) => {
        await readBody(request, form.properties as FieldTypes, pictureFields, config.MAX_UPLOAD_BYTES);
        request.uploadMs = reply.elapsedTime;
      },
    },
    async (request, reply) => {
      const { body } = request;
      const { n = 1 } = body;
      const type = answerType(body, request.headers.accept);
      const accepted = preferred(request.headers.accept, pictureTypes);
      const format = body.format ?? formats.find((name) => `image/${name}` === accepted) ?? 'png';
      const { signal, deadline } = deadlineSignal(request, reply, config.REQUEST_TIMEOUT_MS);
      const { image, mask } = request.pictures;
      const warnings: Warning[] = body.preview && type !== 'text/event-stream' ? ['preview_unused'] : [];
      const reading = { caller: request.caller ?? request.ip, signal, deadline };
      const plan = await maker.plan({ bodies: eachSeed({ ...body, format }, n), image, mask, warnings }, reading);
      if (body.dry_run) return sendJson(reply, dryRunBody(plan, maker.estimate(plan)));
      const options = { signal, deadline, caller: request.caller, trace: request.trace, uploadMs: request.uploadMs };
      if (type === 'text/event-stream') {
        return answerWithEvents(request, reply, config.HEARTBEAT_MS, (onProgress) =>
          maker.run(plan, { ...options, preview: body.preview ?? false, onProgress }),
        );
      }
      const made = await maker.run(plan, options);
      writeHeaders(reply, made);
      if (type === 'application/json') return sendJson(reply, madeBody(request.id, made));
      return reply.type(type).send(made.pictures[0]!.bytes);
    },
  );
}

/** How the answer comes, by Accept; a picture only where there is exactly one. */
function answerType({ n = 1, dry_run, format }: Img2ImgBody, accept: string | undefined) {
  if (dry_run) return negotiate(accept, ['application/json'], ', because dry_run is true');
  if (n > 1) return negotiate(accept, ['application/json', 'text/event-stream'], `, because n is ${n}`);
  const type = negotiate(accept, [...pictureTypes, 'application/json', 'text/event-stream']);
  return type.startsWith('image/') && format ? (`image/${format}` as const) : type;
}

/** As text: Fastify's serializer is slow on megabytes of base64. */
export function sendJson(reply: FastifyReply, body: object): FastifyReply {
  return reply.header('cache-control', 'no-store').type('application/json; charset=utf-8').send(JSON.stringify(body));
}

declare module 'fastify' {
  interface FastifyRequest {
    /** How long the body took to come in, ms. */
    uploadMs: number;
  }
}

/** Initial values of what the route adds to a request. */
export function decorate(app: FastifyInstance): void {
  app.decorateRequest('uploadMs', 0);
  app.decorateRequest('pictures', null as unknown as FastifyRequest['pictures']);
}
