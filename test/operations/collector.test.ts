// A request's spans through the real OpenTelemetry collector: `npm run test:collector` builds one.

import { existsSync } from 'node:fs';
import t from 'tap';
import { stringify } from 'yaml';
import { freePorts, Processes } from '../../k8s/control-plane/processes.js';
import { pathOf } from '../../k8s/control-plane/programs.js';
import { attributesOf, type ExportedSpan, startCollector } from '../service/span-collector.js';
import { cottage, form, startService } from '../start.js';

const program = pathOf('otel-collector');
const skip = existsSync(program) ? false : 'needs an OpenTelemetry collector (npm run test:collector)';

t.test('the collector gets the trace of a request whole', { skip }, async (t) => {
  const processes = new Processes();
  t.teardown(() => processes.close());
  const [port] = await freePorts(1);
  const endpoint = `http://127.0.0.1:${port}`;
  /** What the collector hands on, as its own OTLP. */
  const behind = await startCollector(t);
  const config = stringify({
    receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
    exporters: { otlp_http: { endpoint: behind.endpoint, encoding: 'json', compression: 'none' } },
    service: {
      telemetry: { metrics: { level: 'none' } },
      pipelines: { traces: { receivers: ['otlp'], exporters: ['otlp_http'] } },
    },
  });
  processes.run('otel-collector', program, [
    '--config',
    `file:${t.testdir({ 'collector.yaml': config })}/collector.yaml`,
  ]);
  const listens = () => fetch(`${endpoint}/v1/traces`).then(({ status }) => status === 405); // it wants a POST
  await processes.until('the collector listens', 'otel-collector', listens);

  const service = await startService(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_BSP_SCHEDULE_DELAY: '100',
    OTEL_RESOURCE_ATTRIBUTES: 'k8s.namespace.name=img2img,k8s.pod.name=a',
  });
  const [traceId, caller] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
  const response = await fetch(`${service.url}/img2img`, {
    method: 'POST',
    headers: { traceparent: `00-${traceId}-${caller}-01` },
    body: form(cottage, { steps: 2, width: 128, height: 128, seed: 1 }),
  });
  t.equal(response.status, 200);

  const spans = await behind.waitFor((span) => span.traceId === traceId, 9);
  const above = (parent: string) => (span: ExportedSpan) => span.parentSpanId === parent;
  const roots = spans.filter(above(caller));
  t.match(roots, [{ name: 'POST /img2img', kind: 2 }], 'one span below the caller');
  t.match(attributesOf(roots[0]!), {
    'http.route': '/img2img',
    'http.response.status_code': '200',
    'img2img.request_id': response.headers.get('x-request-id'),
  });
  t.strictSame(
    spans
      .filter(above(roots[0]!.spanId))
      .map(({ name }) => name)
      .sort(),
    ['decode', 'denoise', 'encode', 'queue', 'text_encode', 'upload', 'vae_decode', 'vae_encode'],
    'each stage once, below it',
  );
  t.equal(spans.length, 9, 'and nothing else');
  t.equal(new Set(spans.map(({ spanId }) => spanId)).size, 9);
  for (const { resource } of behind.payloads.flatMap(({ resourceSpans }) => resourceSpans))
    t.match(attributesOf(resource), {
      'service.name': 'img2img',
      'k8s.namespace.name': 'img2img',
      'k8s.pod.name': 'a',
    });
});
