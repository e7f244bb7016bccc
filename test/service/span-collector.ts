// A stand-in for a collector: it speaks OTLP over HTTP in JSON, and remembers.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';

interface Attribute {
  readonly key: string;
  readonly value: Record<string, unknown>;
}

export interface ExportedSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly events: readonly unknown[];
  readonly status: { readonly code: number; readonly message?: string };
}

interface Payload {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly ExportedSpan[] }[];
  }[];
}

/** What a collector got. */
export interface Collector {
  readonly endpoint: string;
  readonly payloads: Payload[];
  spans(): ExportedSpan[];
  /** The spans of requests that match, now or later. */
  waitFor(matches: (span: ExportedSpan) => boolean, count?: number): Promise<ExportedSpan[]>;
}

export async function startCollector(t: Test): Promise<Collector> {
  const payloads: Payload[] = [];
  const { server, url } = await listening(t, async (request, response) => {
    if (request.method !== 'POST' || request.url !== '/v1/traces') return void response.writeHead(404).end();
    payloads.push((await json(request)) as Payload);
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  t.teardown(() => server.closeAllConnections());
  const spans = () =>
    payloads.flatMap(({ resourceSpans }) =>
      resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    );
  return {
    endpoint: url,
    payloads,
    spans,
    async waitFor(matches, count = 1) {
      for (;;) {
        const found = spans().filter(matches);
        if (found.length >= count) return found;
        await sleep(20);
      }
    },
  };
}

export async function listening(
  t: Test,
  handler: Parameters<typeof createServer>[1],
): Promise<{ server: Server; url: string }> {
  const server = createServer(handler!).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

export const attributesOf = ({ attributes }: { attributes: readonly Attribute[] }) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
