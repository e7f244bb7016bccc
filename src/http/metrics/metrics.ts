// Prometheus metrics (docs/metrics.md has them all). Labels come from closed sets, never from a request's text.

import type { FastifyInstance, FastifyReply } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { Type } from 'typebox';
import type { Engine, Generated } from '../../engine/host/engine.js';
import { type StageTimes, stages } from '../pictures/stages.js';
import type { Outcome } from '../problems/engine-ends.js';
import { problemCodes } from '../problems/problem-codes.js';
import { type Problem, problemResponses } from '../problems/problems.js';
import type { Trace } from '../server/trace.js';
import { engineMetrics } from './engine-metrics.js';
import { exposition } from './open-metrics.js';

/** Up to REQUEST_TIMEOUT_MS and half of it more. */
export const requestBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 90];
/** One histogram for all stages: codecs take milliseconds, the queue up to REQUEST_TIMEOUT_MS. */
export const stageBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface Metrics {
  readonly registry: Registry;
  rejected(problem: Problem): void;
  /** Accepted work that ended in pictures. */
  generated(
    seconds: number,
    stageTimes: StageTimes,
    pictures: readonly { model: string; result: Generated }[],
    trace: Trace | undefined,
  ): void;
  /** Accepted work that did not end in a picture. */
  failed(model: string, seconds: number, outcome: Outcome, trace: Trace | undefined): void;
}

/** What runs, as far as its build knows. */
export interface Build {
  readonly version: string;
  /** Of git, or `unknown`. */
  readonly revision: string;
}

export function createMetrics(engine: Engine, lifecycle: { readonly draining: boolean }, build: Build): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  // Gauges that end in _total, which Prometheus' linter refuses.
  for (const kind of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${kind}_total`);
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `img2img_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });

  new Gauge({
    name: 'img2img_build_info',
    help: 'Always 1; the labels tell what runs.',
    labelNames: ['version', 'revision', 'node', 'onnxruntime'],
    registers,
    collect() {
      this.reset();
      const { version, revision } = build;
      const onnxruntime = engine.status.onnxruntime ?? 'unknown'; // until a worker has told
      this.set({ version, revision, node: process.versions.node, onnxruntime }, 1);
    },
  });
  gauge('ready', '1 when /readyz says 200.', () => Number(engine.status.ready && !lifecycle.draining));
  gauge('draining', '1 after a signal to end.', () => Number(lifecycle.draining));
  engineMetrics(registry, engine);

  const rejected = new Counter({
    name: 'img2img_rejected_requests_total',
    help: 'Requests that were refused.',
    labelNames: ['reason'],
    registers,
  });
  const reasons = Object.values(problemCodes).flatMap(({ rejectedAs }) => rejectedAs ?? []);
  for (const reason of new Set([...reasons, 'upload_limit'])) rejected.inc({ reason }, 0);
  const requestDuration = new Histogram<'model' | 'outcome' | 'trace_id'>({
    name: 'img2img_request_duration_seconds',
    help: 'Accepted work, from the whole body to the whole answer.',
    labelNames: ['model', 'outcome'],
    buckets: requestBuckets,
    registers: [], // prom-client wants an OpenMetrics registry for exemplars; see exposition
    enableExemplars: true,
  });
  registry.registerMetric(requestDuration);
  const observeRequest = (labels: { model: string; outcome: string }, value: number, trace: Trace | undefined) =>
    requestDuration.observe({ labels, value, ...(trace?.sampled && { exemplarLabels: { trace_id: trace.traceId } }) });
  const stageDuration = new Histogram({
    name: 'img2img_stage_duration_seconds',
    help: 'Stages of a request.',
    labelNames: ['stage'],
    buckets: stageBuckets,
    registers,
  });
  const images = new Counter({
    name: 'img2img_images_total',
    help: 'Pictures made.',
    labelNames: ['model'],
    registers,
  });
  const flagged = new Counter({
    name: 'img2img_flagged_images_total',
    help: "Pictures made that their model's safety checker flagged.",
    labelNames: ['model'],
    registers,
  });
  const pixels = new Counter({ name: 'img2img_pixels_total', help: 'Pixels made.', labelNames: ['model'], registers });

  return {
    registry,
    rejected: (problem) => {
      const reason = problem.more.reason ?? problemCodes[problem.code].rejectedAs;
      if (reason !== null) rejected.inc({ reason });
    },
    generated: (seconds, stageTimes, pictures, trace) => {
      observeRequest({ model: pictures[0]!.model, outcome: 'ok' }, seconds, trace);
      for (const stage of stages) stageDuration.observe({ stage }, stageTimes[stage] / 1000);
      for (const { model, result } of pictures) {
        images.inc({ model });
        flagged.inc({ model }, Number(result.flagged === true));
        pixels.inc({ model }, result.pixels.width * result.pixels.height);
      }
    },
    failed: (model, seconds, outcome, trace) => observeRequest({ model, outcome }, seconds, trace),
  };
}

/** Counts every answer. The route is the pattern, so that its values are few. */
export function countAnswers(app: FastifyInstance, registry: Registry): void {
  const requests = new Counter({
    name: 'img2img_http_requests_total',
    help: 'Every answer; status 499 when the client left before it.',
    labelNames: ['route', 'method', 'status'],
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'img2img_http_request_duration_seconds',
    help: 'From the headers of the request to the end of the answer.',
    labelNames: ['route', 'status_class'],
    buckets: requestBuckets,
    registers: [registry],
  });
  app.addHook('onRequest', async (request, reply) => {
    // Not onResponse: it does not fire for a client that left.
    reply.raw.once('close', () => {
      const route = request.routeOptions.url ?? 'none';
      const status = answeredStatus(reply);
      requests.inc({ route, method: request.method, status });
      duration.observe({ route, status_class: `${Math.floor(status / 100)}xx` }, reply.elapsedTime / 1000);
    });
  });
}

/** What an answer came to once its connection or it has ended; 499, nginx's status, when nobody waited for it. */
export function answeredStatus({ raw, statusCode }: FastifyReply): number {
  return raw.writableFinished ? statusCode : 499;
}

/** GET /metrics, in the app itself or in one of its own. */
export function metricsRoute(app: FastifyInstance, registry: Registry): void {
  app.get(
    '/metrics',
    {
      logLevel: 'warn',
      schema: {
        operationId: 'getMetrics',
        summary: 'Prometheus metrics',
        description:
          'Latency by stage, steps, queue, saturation, workers. Elsewhere where the server has `METRICS_PORT`.',
        tags: ['Operations'],
        response: {
          200: {
            description: "Prometheus' text format, or with `Accept` OpenMetrics, which has exemplars",
            content: {
              'text/plain': { schema: Type.String() },
              'application/openmetrics-text': { schema: Type.String() },
            },
          },
          ...problemResponses('unauthorized'),
        },
      },
    },
    async (request, reply) => {
      const { contentType, text } = await exposition(registry, request.headers.accept);
      return reply.type(contentType).header('vary', 'Accept').send(text);
    },
  );
}
