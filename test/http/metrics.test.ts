// What is published, where, and that its documentation says so.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { Registry } from 'prom-client';
import t from 'tap';
import { metricsMarkdown } from '../../docs/metrics.js';
import type { GpuTelemetry } from '../../src/engine/host/gpu-telemetry.js';
import { gpuMetrics } from '../../src/http/metrics/gpu-metrics.js';
import { missing } from '../programs.js';
import { startApp } from '../start.js';

const skip = missing({ program: 'promtool', package: 'prometheus' });
const document = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');

t.test(
  'docs/metrics.md has every metric, with its type, its labels and its meaning (npm run docs:metrics)',
  async (t) => {
    t.ok(document.includes(await metricsMarkdown()));
  },
);

t.test('GET /metrics on a port of its own', async (t) => {
  const { url, metricsApp } = await startApp(t, { METRICS_PORT: '0', API_KEYS: 'a-key' });
  const metricsUrl = await metricsApp!.listen({ host: '127.0.0.1', port: 0 });
  const headers = { authorization: 'Bearer a-key' };
  t.equal((await fetch(`${url}/metrics`, { headers })).status, 404, 'not where the API is');
  const scrape = await fetch(`${metricsUrl}/metrics`);
  t.equal(scrape.status, 200, 'without a key');
  const lines = (await scrape.text()).split('\n');

  await t.test('says what runs', async (t) => {
    const [line] = lines.filter((line) => line.startsWith('img2img_build_info{'));
    t.match(line, /version="test",revision="a1b2c3",node="\d+\.\d+\.\d+",onnxruntime="\d+\.\d+\.\d+"\} 1$/);
  });

  await t.test('has only labels and values that docs/metrics.md names', async (t) => {
    const named = new Set([...document.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
    const free = new Set(['le', 'rows', 'worker', 'device', 'model', 'route', 'status', 'version', 'revision', 'node']);
    const pairs = lines
      .filter((line) => line.startsWith('img2img_'))
      .flatMap((line) =>
        [...line.matchAll(/[{,](\w+)="([^"]*)"/g)].map(([, label, value]) => [label!, value!] as const),
      );
    t.ok(pairs.length > 100);
    for (const [label, value] of pairs) {
      if (label !== 'le' && !named.has(label)) t.fail(`the label ${label}`);
      const isFree =
        free.has(label) || label.endsWith('_class') || /digest|precision|component|onnxruntime|method/.test(label);
      if (!isFree && !named.has(value)) t.fail(`${label}="${value}"`);
    }
  });

  await t.test('answers everything else with problem documents', async (t) => {
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/img2img'],
      ['POST', '/metrics'],
      ['GET', '/%E0%A4%A'],
    ] as const) {
      const response = await fetch(metricsUrl + path, { method });
      t.equal(response.headers.get('content-type'), 'application/problem+json; charset=utf-8', `${method} ${path}`);
      const problem = (await response.json()) as { status: number; code: string };
      t.equal(problem.status, response.status);
      t.match(problem.code, /^(not_found|invalid_request)$/);
    }
    const { hostname, port } = new URL(metricsUrl);
    const socket = connect(Number(port), hostname);
    socket.write('no HTTP at all\r\n\r\n');
    const answer = await text(socket);
    t.match(answer, /^HTTP\/1\.1 400 /);
    t.match(JSON.parse(answer.split('\r\n\r\n')[1]!), { status: 400, code: 'invalid_request' });
  });
});

t.test("a GPU's metrics pass Prometheus' linter too", { skip }, async (t) => {
  const registry = new Registry();
  const memory = { used: 1, total: 10 };
  const gpus = [
    { gpu: '0', uuid: 'GPU-0', name: 'n', driver: 'd', mig: false, memory, utilization: 0.5, peakBytes: 2 },
  ];
  gpuMetrics(registry, { gpus }, { status: { workers: [{ gpu: '0', gpuBudgetBytes: 8 }] } } as never);
  const input = await registry.metrics();
  t.equal([...input.matchAll(/^img2img_gpu_\w+\{/gm)].length, 6);
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
  t.equal(`${stdout}${stderr}`, '');
  t.equal(status, 0);
});

t.test('the memory budget of a GPU is what its worker may use; a GPU without a worker has none', async (t) => {
  const registry = new Registry();
  const reading = (gpu: string) => ({ gpu, uuid: `GPU-${gpu}`, memory: { used: 1, total: 10 } });
  const telemetry = { gpus: [reading('0'), reading('1')] } as unknown as GpuTelemetry;
  const workers = [{ gpu: undefined }, { gpu: '1', gpuBudgetBytes: 8 }];
  gpuMetrics(registry, telemetry, { status: { workers } } as never);
  const lines = (await registry.metrics()).split('\n').filter((line) => line.startsWith('img2img_gpu_memory_budget'));
  t.strictSame(lines, ['img2img_gpu_memory_budget_bytes{gpu="1",uuid="GPU-1"} 8']);
});
