// Every error as application/problem+json (RFC 9457), Fastify's own included.

import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { EngineError } from '../../engine/host/engine.js';
import { PictureError } from '../../image/shared/picture-error.js';
import { SizeError } from '../../image/size.js';
import { requirement, type SchemaError } from '../../requirement.js';
import { engineEnds } from './engine-ends.js';
import { type ProblemCode, problemCodes } from './problem-codes.js';

/** One bad field: where it is and what is wrong with it. */
export interface FieldError {
  readonly pointer: string;
  readonly detail: string;
}

export class Problem extends Error {
  /** @param more reason: what the refusal is counted under, where the code does not say it */
  constructor(
    readonly code: ProblemCode,
    detail: string,
    readonly more: {
      readonly errors?: readonly FieldError[];
      readonly retryAfter?: number | undefined;
      readonly reason?: string;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(detail);
  }

  get status(): number {
    return problemCodes[this.code].status;
  }
}

/** A problem about one field of the request. */
export function fieldProblem(code: ProblemCode, field: string, detail: string): Problem {
  return new Problem(code, detail, { errors: [{ pointer: `#/${field}`, detail }] });
}

export const ProblemBody = Type.Object(
  {
    type: Type.String({ description: 'A URI reference that names the kind of problem' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'A sentence for a person: field, value and limit' }),
    instance: Type.String({ description: 'The path that was asked for' }),
    code: Type.Enum(Object.keys(problemCodes), { type: 'string', description: 'Stable; for programs' }),
    request_id: Type.String(),
    errors: Type.Optional(
      Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }), {
        description: 'One entry per bad field',
      }),
    ),
  },
  { $id: 'Problem' },
);

/** Response schemas for a route that can answer with these problems, one per status. */
export function problemResponses(...codes: ProblemCode[]): Record<number, object> {
  return responsesFor(codes, 'application/problem+json', 'Problem', (problem) =>
    document(problem, '/img2img', 'a1b2c3', ''),
  );
}

/**
 * The same for routes whose clients expect another shape.
 * @param schema its $id
 * @param body what such an answer looks like, for the examples
 */
export function responsesFor(
  codes: readonly ProblemCode[],
  mediaType: string,
  schema: string,
  body: (problem: Problem) => object,
): Record<number, object> {
  const responses: Record<number, object> = {};
  const example = (code: ProblemCode) => {
    const { title, meaning } = problemCodes[code];
    return [
      code,
      {
        summary: title,
        value: body(
          code === 'invalid_request'
            ? fieldProblem(code, 'seed', 'seed is -5; it must be at least -1.')
            : new Problem(code, `${meaning[0]!.toUpperCase()}${meaning.slice(1)}.`),
        ),
      },
    ];
  };
  for (const status of new Set(codes.map((code) => problemCodes[code].status))) {
    const names = codes.filter((code) => problemCodes[code].status === status);
    responses[status] = {
      description: names.map((code) => `\`${code}\`: ${problemCodes[code].meaning}.`).join(' '),
      ...(status === 401 && { headers: { 'WWW-Authenticate': Type.String() } }),
      ...((status === 429 || status === 503) && {
        headers: { 'Retry-After': Type.Integer({ description: 'Seconds' }) },
      }),
      content: { [mediaType]: { schema: Type.Ref(schema), examples: Object.fromEntries(names.map(example)) } },
    };
  }
  return responses;
}

/** The shape in which an error is sent. */
export interface ProblemShape {
  readonly type: string;
  readonly body: (problem: Problem, request: FastifyRequest) => object;
}

const problemShape: ProblemShape = {
  type: 'application/problem+json',
  body: (problem, request) => problemBody(request, problem),
};

export function sendProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  problem: Problem,
  { type, body }: ProblemShape = problemShape,
): FastifyReply {
  const { retryAfter, headers = {} } = problem.more;
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  return reply
    .headers(headers)
    .status(problem.status)
    .type(type)
    .send(JSON.stringify(body(problem, request)));
}

/** The problem document. */
export function problemBody(request: FastifyRequest, problem: Problem): Static<typeof ProblemBody> {
  const { pathPrefix = '' }: Partial<FastifyRequest> = request; // Fastify decorates no request that its router refuses
  return document(problem, request.url.split('?')[0]!, request.id, pathPrefix);
}

function document(
  problem: Problem,
  instance: string,
  requestId: string,
  pathPrefix: string,
): Static<typeof ProblemBody> {
  const { status, title } = problemCodes[problem.code];
  return {
    type: `${pathPrefix}/problems/${problem.code}`,
    title,
    status,
    detail: problem.message,
    instance,
    code: problem.code,
    request_id: requestId,
    ...(problem.more.errors && { errors: [...problem.more.errors] }),
  };
}

/** For what is no HTTP, has headers without end, or comes too slowly: there is no request to answer, only a socket. */
export function answerBrokenHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const [status, phrase] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'Request Header Fields Too Large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout']
        : [400, 'Bad Request'];
  const body = JSON.stringify({
    type: '/problems/invalid_request',
    title: phrase,
    status,
    detail: `${phrase}.`,
    code: 'invalid_request',
  });
  // A client that does not close its side would keep the socket otherwise.
  setTimeout(() => socket.destroy(), 1000).unref();
  socket.end(
    `HTTP/1.1 ${status} ${phrase}\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** What is not a field of ours can be anything, a prompt that stands in the wrong place too. */
export const notAField = 'is not a field of this request';

/** Details quote what was sent, prompts included; the log does not. */
export function logProblem(request: FastifyRequest, problem: Problem, error: unknown): void {
  const fields = problem.more.errors?.map(({ pointer, detail }) => (detail.includes(notAField) ? 'unknown' : pointer));
  const facts = { code: problem.code, fields };
  if (hasLeft(request) || (error instanceof EngineError && error.code === 'cancelled'))
    request.log.info('the client left');
  else if (problem.code === 'internal') request.log.error({ ...facts, err: error }, 'request failed');
  else if (problem.status < 500 || passing.has(problem.code)) request.log.info(facts, 'request refused');
  else request.log.warn({ ...facts, reason: (error as Error).message }, 'request failed');
}

/** What every start and every rollout goes through. */
const passing: ReadonlySet<ProblemCode> = new Set(['not_ready', 'draining']);

/** Whether nobody waits for an answer any more: the request was broken off. */
const hasLeft = ({ raw, socket }: FastifyRequest) => raw.errored !== null || socket.destroyed;

/** For all routes of `app`. @param shape that the routes' clients expect */
export function registerProblems(
  app: FastifyInstance,
  onProblem: (request: FastifyRequest, problem: Problem) => void,
  shape: ProblemShape = problemShape,
): void {
  const send = (request: FastifyRequest, reply: FastifyReply, problem: Problem) => {
    if (!hasLeft(request)) onProblem(request, problem);
    return sendProblem(request, reply, problem, shape);
  };

  app.setErrorHandler((error: FastifyError, request, reply) => {
    const problem = toProblem(error, sentIn(request, error.validationContext));
    logProblem(request, problem, error);
    return send(request, reply, problem);
  });
  app.setNotFoundHandler((request, reply) =>
    send(
      request,
      reply,
      new Problem('not_found', `There is no ${request.method} ${request.url.split('?')[0]}; see /docs.`),
    ),
  );
}

/** Codes of Fastify and its plugins that are the client's doing. Their other errors below 500 are invalid requests. */
const fastifyProblems: Record<string, ProblemCode> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_INVALID_MULTIPART_CONTENT_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'upload_too_large',
  FST_REQ_FILE_TOO_LARGE: 'upload_too_large',
};

/** @param sent what a validation error is about: the body, or the headers */
export function toProblem(error: FastifyError | Error, sent?: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof PictureError) {
    return error.isOfThePicture
      ? fieldProblem(error.code, 'image', error.message)
      : new Problem(error.code, error.message, { retryAfter: decodeRetrySeconds });
  }
  if (error instanceof SizeError) return fieldProblem('size_not_supported', error.field, error.message);
  if (error instanceof EngineError) {
    const code = engineEnds[error.code].problem;
    const detail = code === 'internal' ? internalDetail : error.message;
    const { retryAfter } = error;
    const field = /^(model|lora)_/.exec(error.code)?.[1];
    const errors = field && [{ pointer: `#/${field}`, detail }];
    return new Problem(code, detail, { retryAfter, ...(errors && { errors }) });
  }
  if ('validation' in error && error.validation) return validationProblem(error.validation, sent);
  const { code = '', statusCode = 500 } = error as FastifyError;
  const known = fastifyProblems[code];
  if (known) return new Problem(known, error.message);
  if (statusCode === 503) return new Problem('draining', 'The server shuts down.', { retryAfter: 1 });
  if (statusCode < 500) return new Problem('invalid_request', error.message);
  return new Problem('internal', internalDetail);
}

/** Decoding is a matter of seconds. */
const decodeRetrySeconds = 5;

const internalDetail = 'Something went wrong in the server; its log says what, under this request id.';

/** Bad fields that are told together. */
const mostErrors = 20;

function validationProblem(validation: readonly SchemaError[], sent: unknown): Problem {
  const errors = validation.slice(0, mostErrors).map((error) => {
    const path = error.instancePath.split('/').slice(1).map(unescaped);
    switch (error.keyword) {
      case 'required':
        return fieldError([...path, String(error.params.missingProperty)], 'is missing');
      case 'additionalProperties':
        return fieldError([...path, String(error.params.additionalProperty)], notAField);
      default: {
        if (path.length === 0) return { pointer: '#', detail: `The body ${requirement(error)}.` };
        const value = path.reduce<unknown>(
          (of, key) => (of as Record<string, unknown> | null | undefined)?.[key],
          sent,
        );
        return fieldError(path, `is ${shown(value)}; it ${requirement(error)}`);
      }
    }
  });
  const sentences = errors.map(({ detail }) => detail);
  if (validation.length > mostErrors) sentences.push(`And ${validation.length - mostErrors} more.`);
  return new Problem('invalid_request', sentences.join(' '), { errors });
}

/** What a validation error is about. */
function sentIn({ headers, query, params, body }: FastifyRequest, context: string | undefined): unknown {
  return context === 'headers' ? headers : context === 'querystring' ? query : context === 'params' ? params : body;
}

/** A token of a JSON pointer (RFC 6901). */
const escaped = (key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1');
const unescaped = (token: string) => token.replaceAll('~1', '/').replaceAll('~0', '~');

function fieldError(path: readonly string[], complaint: string): FieldError {
  const keys = path.map((key) => (key.length > 100 ? `${key.slice(0, 99)}…` : key));
  return { pointer: `#/${keys.map(escaped).join('/')}`, detail: `${keys.join('.')} ${complaint}.` };
}

/** A value for an error text: short, and quoted as JSON. */
export function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  const text = JSON.stringify(typeof value === 'string' ? value.slice(0, 60) : value) ?? 'absent';
  const length = typeof value === 'string' ? value.length : text.length;
  return length > 60 ? `${text.slice(0, 57)}… (${length} characters)` : text;
}
