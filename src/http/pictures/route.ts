// The one route that makes pictures, used by every path that does: it reads the body, hears when the client leaves, plans, runs
// and answers. A path says its schema, how its body becomes an order, and how what was made becomes an answer.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type TObject, Type } from 'typebox';
import type { Config } from '../../config.js';
import type { Progress } from '../../engine/host/engine.js';
import { isObject } from '../../is-object.js';
import type { Shelf } from '../generators/shelf.js';
import type { ProblemCode } from '../problems/problem-codes.js';
import { smallBody } from '../server/body-gate.js';
import { deadlineSignal, timeoutHeader } from '../server/deadline.js';
import { type FieldTypes, type PictureSource, readBody } from './body.js';
import { type ClientNames, inClientNames } from './client-names.js';
import { answerWithEvents, type Narrator } from './events.js';
import type { FieldTable } from './field.js';
import { writeIgnoredFields } from './ignored-fields.js';
import { makingProblems, type PictureMaker } from './maker.js';
import type { Made, Order, Plan } from './making.js';
import { dryRunBody, writeHeaders, writeSharedHeaders } from './report.js';

/** What every path shares. */
export interface Kitchen {
  readonly config: Config;
  readonly fields: FieldTable;
  /** What the field `model` may name. */
  readonly shelf: Shelf;
  readonly maker: PictureMaker;
  /** @throws EngineError when no picture can be made now anyway */
  readonly assertRoom: () => void;
}

export interface PicturePath<Body> {
  readonly path: string;
  readonly about: {
    readonly operationId: string;
    readonly summary: string;
    readonly description: string;
    readonly tags: readonly string[];
  };
  /** The body's schema by media type. */
  readonly form?: TObject;
  readonly json?: TObject;
  readonly pictures: readonly PictureSource[];
  /** The schema of the answer with status 200. */
  readonly success: object;
  /** The schemas of its errors, in the shape that its clients expect. */
  readonly problems: (...codes: ProblemCode[]) => Record<number, object>;
  /** Clients that want a picture in every place get black ones for those that are kept back. */
  readonly showsBlocked?: boolean;
  /** True where Accept decides how the answer comes. */
  readonly negotiates?: boolean;
  /** JSON, before it is validated: what this path's clients write otherwise than its schema. @throws Problem */
  readonly tidy?: (body: Record<string, unknown>) => Record<string, unknown>;
  /** @throws Problem for what the schema cannot say */
  readonly understand: (body: Body, request: FastifyRequest) => Understood;
}

/** What one request wants of this route. */
export interface Understood {
  readonly order: Order;
  /** Answers with what would run, and makes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Tells it as it goes. */
  readonly events?: ((plan: Plan) => Narrator) | undefined;
  /** Small pictures with the progress; none where flagged pictures are kept back, of which they would show most. */
  readonly preview?: boolean | undefined;
  readonly answer: (made: Made, plan: Plan) => Answer | Promise<Answer>;
  /** Names of fields that had no effect. */
  readonly ignored?: readonly string[];
  /** The client's words for our fields. */
  readonly names?: ClientNames;
  /** Whoever else follows it, and may end it. */
  readonly follower?: Follower;
}

export interface Answer {
  readonly body: Buffer | object;
  /** Media type of bytes; an object is sent as JSON. */
  readonly type?: string;
  /** The pictures differ in what ran: headers tell what they have in common. */
  readonly sweeps?: boolean;
}

export interface Follower {
  /** Its reason is an EngineError. */
  readonly signal: AbortSignal;
  progress(progress: Progress): void;
  /** What is answered when the signal ended the request. */
  ended(): object;
  close(): void;
}

export function pictureRoute<Body>(
  app: FastifyInstance,
  { config, maker, assertRoom }: Kitchen,
  {
    path,
    about,
    form,
    json,
    pictures,
    success,
    problems,
    showsBlocked,
    negotiates,
    tidy,
    understand,
  }: PicturePath<Body>,
): void {
  const formFields = form?.properties as FieldTypes | undefined;
  const takesMore = (form as { additionalProperties?: boolean } | undefined)?.additionalProperties !== false;
  app.post(
    path,
    {
      schema: {
        ...about,
        headers: Type.Object(timeoutHeader),
        ...(form && !json && { consumes: ['multipart/form-data'] }),
        body: {
          content: {
            ...(form && { 'multipart/form-data': { schema: form } }),
            ...(json && { 'application/json': { schema: json } }),
          },
        },
        response: {
          200: success,
          ...problems(
            'invalid_request',
            'unauthorized',
            'rate_limited',
            ...(negotiates ? (['not_acceptable'] as const) : []),
            'unsupported_media_type',
            ...makingProblems,
          ),
        },
      },
      bodyLimit: bodyLimitOf(config, new Set(pictures.map(({ slot }) => slot)).size),
      onRequest: async () => assertRoom(),
      preValidation: async (request, reply) => {
        if (tidy && isObject(request.body)) request.body = tidy(request.body);
        await readBody(request, formFields, pictures, config.MAX_UPLOAD_BYTES, takesMore);
        request.uploadMs = reply.elapsedTime;
      },
    },
    async (request, reply) => {
      // Before anything costs: whoever leaves or runs out of time from here on is heard.
      const { signal, deadline } = deadlineSignal(request, reply, config.REQUEST_TIMEOUT_MS);
      const {
        order,
        dryRun,
        events,
        preview = false,
        answer,
        ignored = [],
        names = {},
        follower,
      } = understand(request.body as Body, request);
      try {
        const end = follower ? AbortSignal.any([signal, follower.signal]) : signal;
        const plan = await maker.plan(order, request.pictures, { caller: request.caller, signal: end, deadline });
        writeIgnoredFields(reply, ignored);
        if (dryRun) return sendJson(reply, dryRunBody(plan, maker.estimate(plan)));
        const { caller, trace, uploadMs } = request;
        const options = {
          ...{ signal: end, deadline, caller, trace, uploadMs, showsBlocked },
          preview: preview && config.SAFETY_CHECKER !== 'block',
        };
        if (events) {
          const run = (onProgress: (progress: Progress) => void) => maker.run(plan, { ...options, onProgress });
          return await answerWithEvents(request, reply, config.HEARTBEAT_MS, run, events(plan));
        }
        const onProgress = follower && ((progress: Progress) => follower.progress(progress));
        const made = await maker.run(plan, { ...options, ...(onProgress && { onProgress }) });
        const { body, type, sweeps } = await answer(made, plan);
        if (sweeps) writeSharedHeaders(reply, made);
        else writeHeaders(reply, made);
        return Buffer.isBuffer(body) ? reply.type(type!).send(body) : sendJson(reply, body);
      } catch (error) {
        if (!follower || error !== follower.signal.reason) throw inClientNames(error, names);
        return sendJson(reply, follower.ended());
      } finally {
        follower?.close();
      }
    },
  );
}

/** Bytes: the pictures as base64, which adds a third and some line breaks; prompts, of which JSON may escape every character. */
function bodyLimitOf({ MAX_UPLOAD_BYTES, MAX_PROMPT_CHARS }: Config, pictures: number): number {
  return Math.ceil(pictures * MAX_UPLOAD_BYTES * 1.4) + 2 * 6 * MAX_PROMPT_CHARS + smallBody;
}

/** As text: Fastify's serializer is slow on megabytes of base64. */
function sendJson(reply: FastifyReply, body: object): FastifyReply {
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
