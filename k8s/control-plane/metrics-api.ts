// The custom and the external metrics API for the component `hpa`, in the place of prometheus-adapter: it asks the adapter's own
// queries, as components/hpa/prometheus-adapter-values.yaml has them. Not here: how the adapter finds series and fills its templates.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { hpaP95, hpaSaturation } from '../../test/operations/autoscaler-queries.js';
import { aggregate } from './aggregate.js';
import type { Api } from './api.js';
import { freePorts, type Processes } from './processes.js';
import type { Prometheus } from './prometheus.js';

const custom = 'custom.metrics.k8s.io';
const external = 'external.metrics.k8s.io';
const saturation = 'img2img_saturation_ratio';
const p95 = 'img2img_request_duration_p95_seconds';

/** A Kubernetes quantity. */
const quantity = (value: number) => `${Math.round(1000 * value)}m`;

export async function startMetricsApi(
  api: Api,
  processes: Processes,
  prometheus: Prometheus,
): Promise<{ close(): void }> {
  const timestamp = () => new Date().toISOString().replace(/\.\d+Z/, 'Z');
  const answers: Readonly<Record<string, () => Promise<object>>> = {
    [`/apis/${custom}/v1beta1`]: async () => resources(custom, `pods/${saturation}`, 'MetricValueList'),
    [`/apis/${external}/v1beta1`]: async () => resources(external, p95, 'ExternalMetricValueList'),
    [`/apis/${custom}/v1beta1/namespaces/img2img/pods/*/${saturation}`]: async () => ({
      kind: 'MetricValueList',
      apiVersion: `${custom}/v1beta1`,
      metadata: {},
      items: (await prometheus.values(hpaSaturation)).map(({ metric, value }) => ({
        describedObject: { kind: 'Pod', namespace: 'img2img', name: metric.pod, apiVersion: '/v1' },
        metricName: saturation,
        timestamp: timestamp(),
        value: quantity(value),
      })),
    }),
    [`/apis/${external}/v1beta1/namespaces/img2img/${p95}`]: async () => ({
      kind: 'ExternalMetricValueList',
      apiVersion: `${external}/v1beta1`,
      metadata: {},
      items: (await prometheus.values(hpaP95)).map(({ metric, value }) => ({
        metricName: p95,
        metricLabels: metric,
        timestamp: timestamp(),
        value: quantity(value),
      })),
    }),
  };
  const tls = (file: string) => readFileSync(join(processes.folder, file));
  const server = createServer({ cert: tls('tls.crt'), key: tls('tls.key') }, async ({ url = '/' }, response) => {
    const answer = await answers[decodeURIComponent(url.split('?')[0]!)]?.().catch(() => undefined);
    response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? {}));
  });
  const [port] = await freePorts(1);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  for (const group of [custom, external]) await aggregate(api, processes, `v1beta1.${group}`, 'kube-apiserver', port!);
  return {
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function resources(group: string, name: string, kind: string): object {
  const resource = { name, singularName: '', namespaced: true, kind, verbs: ['get'] };
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: `${group}/v1beta1`, resources: [resource] };
}
