// Spans as a collector gets them, from a real process.

import t from 'tap';
import { cottage, form, type Service, startService } from '../start.js';
import { attributesOf, type Collector, listening, startCollector } from './span-collector.js';

const serverKind = 2;
const status = { unset: 0, error: 2 };

const quick = { steps: 2, width: 128, height: 128, seed: 1 };
/** Flushed every tenth of a second instead of every five. */
const exporting = ({ endpoint }: Collector) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  OTEL_BSP_SCHEDULE_DELAY: '100',
});
const post = (service: Service, fields: Record<string, string | number>, headers: Record<string, string> = {}) =>
  fetch(`${service.url}/img2img`, { method: 'POST', headers, body: form(cottage, fields) });
const exemplars = async ({ url }: Service, headers: Record<string, string>) => {
  const accept = 'application/openmetrics-text';
  const text = await (await fetch(`${url}/metrics`, { headers: { ...headers, accept } })).text();
  return [...text.matchAll(/ # \{trace_id="(\w+)"\}/g)].map(([, id]) => id);
};

t.test('spans of requests', async (t) => {
  const collector = await startCollector(t);
  const key = 'key-that-must-not-be-exported';
  const prompt = 'prompt-that-must-not-be-exported';
  const environment = { ...exporting(collector), API_KEYS: key, OTEL_RESOURCE_ATTRIBUTES: 'k8s.pod.name=a' };
  const service = await startService(t, environment);
  const authorization = `Bearer ${key}`;
  const ofRequest = async (response: Response) => {
    const id = response.headers.get('x-request-id')!;
    const [span] = await collector.waitFor((span) => attributesOf(span)['img2img.request_id'] === id);
    await service.logged(({ reqId, msg }) => reqId === id && msg === 'request completed');
    return { span: span!, lines: service.log.filter(({ reqId }) => reqId === id) };
  };

  await t.test(
    'a request with a traceparent: its span is below the caller, its stages are below its span',
    async (t) => {
      const [traceId, callersSpan] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
      const headers = { authorization, traceparent: `00-${traceId}-${callersSpan}-01` };
      const response = await post(service, { ...quick, prompt }, headers);
      t.equal(response.status, 200);
      const { span, lines } = await ofRequest(response);
      t.match(span, { name: 'POST /img2img', kind: serverKind, traceId, parentSpanId: callersSpan });
      t.match(attributesOf(span), {
        'http.request.method': 'POST',
        'http.route': '/img2img',
        'http.response.status_code': 200,
        'url.path': '/img2img',
      });
      t.equal(span.status.code, status.unset);
      for (const line of lines) t.equal(line.trace_id, traceId, String(line.msg));
      t.same(await exemplars(service, { authorization }), [traceId], 'the exemplar has it too');
      const stages = await collector.waitFor(({ parentSpanId }) => parentSpanId === span.spanId, 8);
      t.strictSame(
        stages.map(({ name }) => name),
        ['upload', 'decode', 'queue', 'text_encode', 'vae_encode', 'denoise', 'vae_decode', 'encode'],
      );
      for (const stage of stages) {
        t.equal(stage.traceId, traceId);
        t.ok(BigInt(stage.startTimeUnixNano) <= BigInt(stage.endTimeUnixNano), stage.name);
        t.ok(BigInt(stage.endTimeUnixNano) <= BigInt(span.endTimeUnixNano) + 1_000_000n, `${stage.name} is within`);
      }
      const { resource } = collector.payloads[0]!.resourceSpans[0]!;
      t.match(attributesOf(resource), { 'service.name': 'img2img', 'k8s.pod.name': 'a' });
    },
  );

  await t.test('a request without one begins a trace, which its log names after its first line', async (t) => {
    const response = await post(service, quick, { authorization });
    const { span, lines } = await ofRequest(response);
    t.notOk(span.parentSpanId);
    t.match(lines, [
      { msg: 'incoming request' },
      { msg: 'request completed', trace_id: span.traceId, span_id: span.spanId },
    ]);
    t.ok((await exemplars(service, { authorization })).includes(span.traceId));
  });

  await t.test('what the caller does not sample is not exported', async (t) => {
    const traceparent = (digit: string, flags: string) => `00-${digit.repeat(32)}-00f067aa0ba902b7-${flags}`;
    await (await post(service, quick, { authorization, traceparent: traceparent('a', '00') })).arrayBuffer();
    await (await post(service, quick, { authorization, traceparent: traceparent('b', '01') })).arrayBuffer();
    await collector.waitFor(({ traceId }) => traceId === 'b'.repeat(32));
    t.notOk(collector.spans().some(({ traceId }) => traceId === 'a'.repeat(32)));
  });

  await t.test('a stream ends with its last event; several pictures have stages each', async (t) => {
    const response = await post(service, { ...quick, n: 2 }, { authorization, accept: 'text/event-stream' });
    const id = response.headers.get('x-request-id');
    const finished = (await response.text()).includes('event: done');
    t.ok(finished);
    const [span] = await collector.waitFor((span) => attributesOf(span)['img2img.request_id'] === id);
    const stages = await collector.waitFor(({ parentSpanId }) => parentSpanId === span!.spanId, 13);
    t.equal(stages.filter(({ name }) => name === 'denoise').length, 2);
    const encode = stages.find(({ name }) => name === 'encode')!;
    t.ok(BigInt(span!.endTimeUnixNano) + 1_000_000n >= BigInt(encode.endTimeUnixNano), 'not with its headers');
  });

  await t.test('refusals are no errors of the service, and failures say only their status', async (t) => {
    const json = { authorization, 'content-type': 'application/json' };
    const send = (path: string, headers: Record<string, string>, body: string | FormData) =>
      fetch(service.url + path, { method: 'POST', headers, body });
    const cases: [status: number, route: string | undefined, answer: Promise<Response>][] = [
      [400, '/img2img', send('/img2img', json, `{"prompt": "${prompt}" "${prompt}`)],
      [400, '/img2img', send('/img2img', { authorization }, form(cottage, { [prompt]: prompt }))],
      [401, '/img2img', send(`/img2img?key=${key}`, { 'x-api-key': key }, form(cottage, { prompt }))],
      [404, undefined, send(`/nowhere?key=${key}&prompt=${prompt}`, json, '{}')],
      [504, '/img2img', post(service, { steps: 150, strength: 1 }, { authorization, 'x-request-timeout-ms': '1' })],
    ];
    for (const [code, route, answer] of cases) {
      const response = await answer;
      t.equal(response.status, code);
      const { span } = await ofRequest(response);
      t.match(attributesOf(span), { 'http.response.status_code': code });
      t.equal(attributesOf(span)['http.route'], route);
      t.strictSame(span.status, { code: code < 500 ? status.unset : status.error });
    }
    const secrets = [key, prompt, Buffer.from(key).toString('base64')];
    for (const span of collector.spans()) {
      t.notOk(
        secrets.some((secret) => JSON.stringify(span).includes(secret)),
        span.name,
      );
      t.strictSame(span.events, []);
    }
  });

  await t.test('a client that leaves is told as 499', async (t) => {
    const controller = new AbortController();
    const body = form(cottage, { steps: 150, strength: 1, width: 512, height: 512 });
    const headers = { authorization, 'x-request-id': 'it-leaves' };
    const { signal } = controller;
    const answer = fetch(`${service.url}/img2img`, { method: 'POST', headers, body, signal }).catch(() => {});
    await service.logged(({ reqId }) => reqId === 'it-leaves');
    controller.abort();
    await answer;
    const [span] = await collector.waitFor((span) => attributesOf(span)['img2img.request_id'] === 'it-leaves');
    t.equal(attributesOf(span!)['http.response.status_code'], 499);
    t.equal(span!.status.code, status.unset);
  });

  await t.test('probes and scrapes have no spans', async (t) => {
    for (const path of ['/livez', '/readyz', '/metrics'])
      t.equal((await fetch(service.url + path, { headers: { authorization } })).status, 200);
    const models = await fetch(`${service.url}/models`, { headers: { authorization } });
    const { span } = await ofRequest(models);
    t.equal(span.name, 'GET /models');
    t.notOk(collector.spans().some(({ name }) => /livez|readyz|metrics/.test(name)));
  });
});

t.test('what ended last is exported while the service drains', async (t) => {
  const collector = await startCollector(t);
  const service = await startService(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, DRAIN_DELAY_MS: '0' });
  const headers = { 'x-request-id': 'the-last' };
  const answer = post(service, { ...quick, steps: 150, strength: 1 }, headers);
  await service.logged(({ reqId }) => reqId === 'the-last');
  service.process.kill('SIGTERM');
  t.equal((await answer).status, 200);
  t.equal(await service.ended, 0);
  t.ok(collector.spans().some((span) => attributesOf(span)['img2img.request_id'] === 'the-last'));
});

t.test('a collector that is not there, or never answers, harms nothing', async (t) => {
  const silent = await listening(t, () => {});
  t.teardown(() => silent.server.closeAllConnections());
  for (const endpoint of ['http://127.0.0.1:9', silent.url]) {
    const service = await startService(t, {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_TIMEOUT: '600000', // so that nothing but the service itself ends the wait
      OTEL_BSP_SCHEDULE_DELAY: '100',
      OTEL_BSP_EXPORT_TIMEOUT: '600000',
      DRAIN_DELAY_MS: '0',
    });
    for (let i = 0; i < 3; i++) t.equal((await post(service, quick)).status, 200);
    service.process.kill('SIGTERM');
    t.equal(await service.ended, 0, 'well before the drain deadline');
  }
});

t.test('a collector that refuses is told of in the log', async (t) => {
  const { url } = await listening(t, (_, response) => response.writeHead(400).end());
  const service = await startService(t, { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_BSP_SCHEDULE_DELAY: '100' });
  t.equal((await fetch(`${service.url}/models`)).status, 200);
  await service.logged(({ msg }) => msg === 'spans could not be exported');
  t.equal((await post(service, quick)).status, 200);
});

t.test("without a collector nothing of OpenTelemetry's SDK is loaded", async (t) => {
  const collector = await startCollector(t);
  const tellModules =
    'process.on("exit", () => console.log(JSON.stringify({ modules: Object.keys(require("node:module")._cache) })));';
  const preload = `${t.testdir({ 'tell-modules.cjs': tellModules })}/tell-modules.cjs`;
  const loaded = async (environment: Record<string, string>) => {
    const service = await startService(t, {
      ...environment,
      NODE_OPTIONS: `--require ${preload}`,
      DRAIN_DELAY_MS: '0',
    });
    service.process.kill('SIGTERM');
    const { modules } = await service.logged((line) => 'modules' in line);
    return (modules as string[]).filter((path) => /opentelemetry\/(?!api\/)|fastify\/otel/.test(path)); // prom-client loads the API
  };
  t.ok((await loaded(exporting(collector))).length > 10);
  t.strictSame(await loaded({}), []);
});
