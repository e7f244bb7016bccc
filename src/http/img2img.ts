// POST /img2img: body -> what is asked for -> pictures -> the answer that Accept asks for.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Config } from '../config.js';
import { formats } from '../image/encode.js';
import { deadlineSignal, timeoutHeader } from './deadline.js';
import { formBody, type Img2ImgBody, jsonBody } from './fields.js';
import { makingProblems, type PictureMaker } from './generation.js';
import { negotiate, preferred } from './negotiation.js';
import { eachSeed } from './parameters.js';
import { problemResponses } from './problems.js';
import { answerHeaders, MadeBody, madeBody, Ran, writeHeaders } from './report.js';
import { type FieldTypes, readBody } from './upload.js';
import type { UploadBudget } from './upload-budget.js';

const pictureTypes = formats.map((format) => `image/${format}` as const);

export function img2imgRoute(app: FastifyInstance, config: Config, maker: PictureMaker, budget: UploadBudget): void {
  const form = formBody(config);
  app.addSchema(Ran);
  app.addSchema(MadeBody);
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
              'application/json': { schema: Type.Ref('Made') },
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
        await readBody(request, form.properties as FieldTypes, ['image'], config.MAX_UPLOAD_BYTES);
        request.uploadMs = reply.elapsedTime;
      },
    },
    async (request, reply) => {
      const { accept } = request.headers;
      const n = request.body.n ?? 1;
      const type =
        n === 1
          ? negotiate(accept, [...pictureTypes, 'application/json'])
          : negotiate(accept, ['application/json'], `, because n is ${n}`);
      const accepted = formats.find((name) => `image/${name}` === preferred(accept, pictureTypes));
      const format = request.body.format ?? accepted ?? 'png';
      const { signal, deadline, done } = deadlineSignal(request, reply, config.REQUEST_TIMEOUT_MS);
      try {
        const plan = await maker.plan({
          bodies: eachSeed({ ...request.body, format }, n),
          image: request.pictures.image,
        });
        const made = await maker.run(plan, { signal, deadline, uploadMs: request.uploadMs });
        writeHeaders(reply, made);
        if (type === 'application/json') return madeBody(request.id, made);
        return reply.type(`image/${format}`).send(made.pictures[0]!.bytes);
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

/** Initial values of what the route adds to a request. */
export function decorate(app: FastifyInstance): void {
  app.decorateRequest('uploadMs', 0);
  app.decorateRequest('pictures', null as unknown as FastifyRequest['pictures']);
}
