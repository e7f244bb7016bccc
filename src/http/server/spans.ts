// The spans of requests, for a collector of OpenTelemetry: OTLP over HTTP, through Fastify's own plugin. Only main loads this,
// and only where a collector is named. What a span says comes from closed sets: no prompt, no key, no text of an error.

import { FastifyOtelInstrumentation } from '@fastify/otel';
import { propagation, type Span, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply } from 'fastify';
import { answeredStatus } from '../metrics/metrics.js';
import type { Spans } from './trace.js';

/** Asked every few seconds by machines, and never slow. */
const untraced = new Set(['/livez', '/readyz', '/metrics']);

/** How long the end of the process waits for a collector, ms. */
const flushMs = 3000;

export interface SpansOptions {
  /** OTEL_EXPORTER_OTLP_ENDPOINT; the SDK reads its other standard variables itself. */
  readonly endpoint: string;
  readonly version: string;
  readonly logger: FastifyBaseLogger;
}

export function openSpans({ endpoint, version, logger }: SpansOptions): Spans {
  const service = resourceFromAttributes({ 'service.name': 'img2img', 'service.version': version });
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces` });
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(service)
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  // Called for each batch that is lost, in the background.
  setGlobalErrorHandler((err) => logger.warn({ err }, 'spans could not be exported'));
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const instrumentation = new FastifyOtelInstrumentation({
    ignorePaths: ({ url }) => untraced.has(pathOf(url)),
    instrumentHooks: false,
    instrumentHandler: false,
    recordExceptions: false,
  });
  instrumentation.setTracerProvider(provider);
  return {
    async register(app) {
      await app.register(instrumentation.plugin());
      describeSpans(app);
    },
    async close() {
      const limit = new Promise((resolve) => setTimeout(resolve, flushMs));
      await Promise.race([provider.shutdown().catch(() => {}), limit]); // the error handler has told
    },
  };
}

function describeSpans(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    const { span, context, tracer } = request.opentelemetry();
    if (!span) return;
    const route = request.routeOptions.url;
    span.updateName(route ? `${request.method} ${route}` : request.method);
    span.setAttributes({ 'url.path': pathOf(request.url), 'img2img.request_id': request.id });
    endWithAnswer(span, reply);
    const { traceId, spanId, traceFlags } = span.spanContext();
    // The trace begins here, so that the first line of the request's log is without it.
    if (!request.trace) {
      request.log = request.log.child({ trace_id: traceId, span_id: spanId });
      reply.log = request.log;
    }
    request.trace = {
      traceId,
      spanId,
      sampled: (traceFlags & TraceFlags.SAMPLED) !== 0,
      part(name, start, ms) {
        const startTime = Date.now() - (performance.now() - start);
        tracer.startSpan(name, { startTime }, context).end(startTime + ms);
      },
    };
  });
}

/**
 * The plugin ends a span with the headers, before a stream has said anything, and repeats in it what an error says, which
 * may quote the request. Here a span ends with the answer, and says how by the status alone.
 */
function endWithAnswer(span: Span, reply: FastifyReply): void {
  const end = span.end.bind(span);
  const setStatus = span.setStatus.bind(span);
  span.end = () => {};
  span.setStatus = () => span;
  reply.raw.once('close', () => {
    const status = answeredStatus(reply);
    span.setAttribute('http.response.status_code', status);
    if (status >= 500) {
      span.setAttribute('error.type', String(status));
      setStatus({ code: SpanStatusCode.ERROR });
    }
    end();
  });
}

/** Without the query, in which no route takes anything. */
function pathOf(url: string): string {
  return url.split('?')[0]!;
}
