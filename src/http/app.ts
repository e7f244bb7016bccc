// The HTTP application: plugins, routes, and what holds for every answer. It knows the engine only by its handle.

import { randomUUID } from 'node:crypto';
import { maxHeaderSize } from 'node:http';
import cors from '@fastify/cors';
import multipart from '@fastify/multipart';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { type Config, list } from '../config.js';
import type { Engine } from '../engine/host/engine.js';
import { PictureReader } from '../image/host/picture-reader.js';
import { embeddingRoutes } from './embeddings.js';
import { GeneratorFiles } from './generators/generator-files.js';
import { Shelf } from './generators/shelf.js';
import { loraRoutes } from './loras.js';
import { decodeMetrics } from './metrics/decode-metrics.js';
import { gpuMetrics, type ReadableTelemetry } from './metrics/gpu-metrics.js';
import { type Build, countAnswers, createMetrics, metricsRoute } from './metrics/metrics.js';
import { modelRoutes } from './models.js';
import { openAiShape } from './openai/answers.js';
import { openAiRoutes } from './openai/openai.js';
import { registerPage } from './page/page.js';
import type { FieldTable } from './pictures/field.js';
import { fields as allFields } from './pictures/fields.js';
import { img2imgRoute } from './pictures/img2img.js';
import { pictureMaker } from './pictures/maker.js';
import { answerHeaders } from './pictures/report.js';
import { decorate, type Kitchen } from './pictures/route.js';
import { problemPages } from './problems/pages.js';
import {
  answerBrokenHttp,
  type Problem,
  ProblemBody,
  registerProblems,
  sendProblem,
  toProblem,
} from './problems/problems.js';
import { gateBodies, smallBody } from './server/body-gate.js';
import { parseBoundedJson } from './server/bounded-json.js';
import { registerDocs } from './server/docs.js';
import { closeConnectionsWhenIdle } from './server/draining.js';
import { knowCallers } from './server/keys.js';
import { plainPath } from './server/paths.js';
import { probeRoutes } from './server/probes.js';
import { readPathPrefix, trustOf } from './server/proxies.js';
import { limitRates } from './server/rate-limit.js';
import { type Spans, traceRequests } from './server/trace.js';
import { uploadBudget } from './server/upload-budget.js';
import { sheetRoute } from './sheet/sheet.js';
import { webuiShape } from './webui/answers.js';
import { webuiRoutes } from './webui/webui.js';

/** How soon a generator's file that came or changed is noticed, ms. */
const generatorsLookMs = 1000;

export interface AppOptions {
  readonly config: Config;
  readonly engine: Engine;
  /** Absent without a GPU. */
  readonly gpus?: ReadableTelemetry | undefined;
  /** Absent where no spans are exported. */
  readonly spans?: Spans | undefined;
  readonly logger: FastifyBaseLogger;
  /** Shared with whoever drains. */
  readonly lifecycle: { draining: boolean };
  readonly build: Build;
  /** Of requests for pictures. */
  readonly fields?: FieldTable;
}

/** The application, and with METRICS_PORT a second one for the metrics. Neither listens yet. */
export async function buildApp(options: AppOptions) {
  const { config, engine, gpus, spans, logger, lifecycle, build, fields = allFields } = options;
  const trust = trustOf(config.TRUST_PROXY);
  const app: FastifyInstance = Fastify({
    loggerInstance: logger,
    bodyLimit: smallBody,
    requestIdHeader: false,
    rewriteUrl: ({ url }) => plainPath(url!),
    genReqId: ({ headers }) => acceptableId(headers['x-request-id']) ?? randomUUID(),
    routerOptions: { maxParamLength: maxHeaderSize }, // no path is longer: the schemas say what a part of one may have
    trustProxy: trust,
    // Unknown fields are errors, defaults are the table of fields' to fill in, and JSON is not coerced; the form's text is, before.
    ajv: {
      customOptions: {
        removeAdditional: false,
        coerceTypes: false,
        useDefaults: false,
        allErrors: true,
        allowUnionTypes: true,
      },
    },
    requestTimeout: config.UPLOAD_TIMEOUT_MS,
    keepAliveTimeout: config.IDLE_TIMEOUT_MS,
    http: {
      headersTimeout: Math.min(config.HEADERS_TIMEOUT_MS, config.UPLOAD_TIMEOUT_MS),
      connectionsCheckingInterval: Math.min(1000, config.HEADERS_TIMEOUT_MS),
    },
    return503OnClosing: false, // what still comes in on an open connection is answered
    ...answersToAnything,
  });
  const metrics = createMetrics(engine, lifecycle, build);
  if (gpus) gpuMetrics(metrics.registry, gpus, engine);
  const reader = new PictureReader({ maxBytes: config.MAX_DECODE_BYTES, timeoutMs: config.DECODE_TIMEOUT_MS }, (end) =>
    logger.warn(end, 'a process that decodes pictures ended; a new one is started for the next picture'),
  );
  app.addHook('onListen', async () => reader.start());
  app.addHook('onClose', () => reader.close());
  decodeMetrics(metrics.registry, reader);
  const generators = new GeneratorFiles(config.MODELS_DIR, ({ name, reason }) =>
    logger.warn(`the generator ${name} cannot be used: ${reason}`),
  );
  await generators.look();
  app.addHook('onListen', async () => generators.watch(generatorsLookMs));
  app.addHook('onClose', async () => generators.close());
  const shelf = new Shelf(engine, generators, config.MAX_STEPS);
  const maker = pictureMaker(config, fields, { engine, shelf, reader, metrics });
  const kitchen: Kitchen = { config, fields, shelf, maker, assertRoom: () => engine.assertRoom() };
  decorate(app);
  app.removeContentTypeParser('text/plain');
  app.addSchema(ProblemBody);
  const count = (request: FastifyRequest, problem: Problem) => {
    if (request.method === 'POST') metrics.rejected(problem); // a probe that is told to wait is not shed work
  };
  registerProblems(app, count);
  // Several parts, Fastify's among them, wait for the end of an answer; Node takes more than ten for a leak.
  app.addHook('onRequest', async (_request, reply) => {
    reply.raw.setMaxListeners(20);
  });
  readPathPrefix(app, trust);
  await traceRequests(app, spans);
  countAnswers(app, metrics.registry);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  if (config.LOG_PROMPTS) logPrompts(app);
  app.addHook('onSend', async (request) => {
    // From here on bytes should flow. Node sets its own limit again when the answer has gone out.
    request.raw.socket.setTimeout(config.IDLE_TIMEOUT_MS);
  });
  closeConnectionsWhenIdle(app, lifecycle);
  const origins = list(config.CORS_ORIGINS);
  if (origins.length > 0) {
    await app.register(cors, {
      origin: origins.includes('*') ? '*' : origins,
      exposedHeaders: [
        ...Object.keys(answerHeaders(fields)),
        'Retry-After',
        'RateLimit-Limit',
        'RateLimit-Remaining',
        'RateLimit-Reset',
      ],
      maxAge: 600,
    });
  }
  const keys = list(config.API_KEYS);
  knowCallers(app, keys, config.TRUST_PROXY !== undefined);
  if (config.RATE_LIMIT !== undefined) await limitRates(app, config.RATE_LIMIT, keys.length > 0 ? 'key' : 'address');
  const budget = uploadBudget(config.MAX_UPLOADS_BYTES);
  gateBodies(app, budget);
  parseBoundedJson(app);
  await app.register(multipart, {
    throwFileSizeLimit: true,
    limits: {
      fileSize: config.MAX_UPLOAD_BYTES,
      files: 4,
      fields: 40,
      fieldSize: 4 * config.MAX_PROMPT_CHARS + 1024,
      parts: 44,
    },
  });
  await registerDocs(app, build.version);
  await registerPage(app, build.version);
  app.after(() => {
    img2imgRoute(app, kitchen);
    sheetRoute(app, kitchen);
    modelRoutes(app, config, shelf, generators, engine);
    embeddingRoutes(app, engine);
    loraRoutes(app, engine);
    problemPages(app);
    app.register(
      async (scope) => {
        registerProblems(scope, count, openAiShape);
        openAiRoutes(scope, kitchen);
      },
      { prefix: '/v1' },
    );
    app.register(
      async (scope) => {
        registerProblems(scope, count, webuiShape);
        webuiRoutes(scope, kitchen, engine, build.version, gpus);
      },
      { prefix: '/sdapi/v1' },
    );
    probeRoutes(app, engine, lifecycle);
    if (config.METRICS_PORT === undefined) metricsRoute(app, metrics.registry);
  });
  const { registry } = metrics;
  if (config.METRICS_PORT === undefined) return { app, metricsApp: undefined, registry, shelf };
  const metricsApp: FastifyInstance = Fastify({ loggerInstance: logger, bodyLimit: smallBody, ...answersToAnything });
  metricsApp.addSchema(ProblemBody);
  registerProblems(metricsApp, () => {});
  gateBodies(metricsApp, budget);
  metricsRoute(metricsApp, registry);
  return { app, metricsApp, registry, shelf };
}

/** What no route sees is answered with a problem document too. */
const answersToAnything = {
  frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
    sendProblem(request, reply, toProblem(error)),
  clientErrorHandler: answerBrokenHttp,
};

/** A request id of the client's, if it can stand in logs and headers as it is. */
function acceptableId(id: string | string[] | undefined): string | undefined {
  return typeof id === 'string' && /^[\w.:-]{1,128}$/.test(id) ? id : undefined;
}

/** One line per valid request that has a prompt, whatever its route. */
function logPrompts(app: FastifyInstance): void {
  app.addHook('preHandler', async ({ body, log }) => {
    const { prompt, negative_prompt } = (body ?? {}) as Record<string, unknown>;
    if (prompt !== undefined) log.info({ prompt, negative_prompt }, 'prompt');
  });
}
