// W3C Trace Context, https://www.w3.org/TR/trace-context/: the caller's traceparent, logged with its request and kept for
// exemplars. Only where spans are exported does the service begin traces of its own: an id that no tracing system knows leads nowhere.

import type { FastifyInstance } from 'fastify';

export interface Trace {
  /** 32 hexadecimal digits, lower case. */
  readonly traceId: string;
  /** 16 hexadecimal digits: the caller's span, traceparent's parent-id; or the request's own where spans are exported. */
  readonly spanId: string;
  readonly sampled: boolean;
  /**
   * Tells of a part of the request as a span of its own, below the request's. Absent where no spans are exported.
   * @param start on the clock of performance.now(), ms
   */
  readonly part?: (name: string, start: number, ms: number) => void;
}

/** Where spans are exported to: see spans.ts. */
export interface Spans {
  /** From then on each request has a span, and a trace whether or not it came with one. */
  register(app: FastifyInstance): Promise<void>;
  /** Sends what is left, for a moment at most. */
  close(): Promise<void>;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Undefined without a valid traceparent, unless spans are exported. */
    trace: Trace | undefined;
  }
}

const fields =
  /^(?<version>[0-9a-f]{2})-(?<traceId>[0-9a-f]{32})-(?<spanId>[0-9a-f]{16})-(?<flags>[0-9a-f]{2})(?<more>-.*)?$/;

/**
 * As section 3.2 has it: lower case only, ids of zeros and version ff are invalid, version 00 ends with its flags, and a
 * later version is read as 00 is, whatever follows. What is invalid is ignored; no request is refused for it.
 */
export function parseTraceparent(header: string | string[] | undefined): Trace | undefined {
  if (typeof header !== 'string') return undefined;
  const { version, traceId, spanId, flags, more } = fields.exec(header)?.groups ?? {};
  if (version === undefined || version === 'ff') return undefined;
  if (version === '00' && more !== undefined) return undefined;
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined;
  return { traceId: traceId!, spanId: spanId!, sampled: (Number.parseInt(flags!, 16) & 1) === 1 };
}

/** Every line of a request's log, the first one too, has the ids of the trace that it came with. */
export async function traceRequests(app: FastifyInstance, spans: Spans | undefined): Promise<void> {
  app.decorateRequest('trace', undefined);
  app.addHook('onRequest', async (request) => {
    request.trace = parseTraceparent(request.headers.traceparent);
  });
  app.setChildLoggerFactory((logger, bindings, options, { headers }) => {
    const trace = parseTraceparent(headers.traceparent);
    return logger.child(trace ? { ...bindings, trace_id: trace.traceId, span_id: trace.spanId } : bindings, options);
  });
  await spans?.register(app);
}
