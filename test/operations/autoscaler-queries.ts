// What the autoscalers ask Prometheus, read from their manifests.

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

const read = (path: string) => readFileSync(new URL(`../../k8s/components/${path}`, import.meta.url), 'utf8');

export const [saturation, p95]: string[] = parse(read('keda/scaled-object.yaml')).spec.triggers.map(
  ({ metadata }: { metadata: { query: string } }) => metadata.query,
);
const zeroPatch: { path: string; value: unknown }[] = parse(
  parse(read('scale-to-zero/kustomization.yaml')).patches[0].patch,
);
/** As saturation, where no replica is no fault. */
export const fromZero = String(zeroPatch.find(({ path }) => path.endsWith('/query'))!.value);
/** Requests at the balancer, which wake the first replica. */
export const arrivals = (
  zeroPatch.find(({ path }) => path.endsWith('/triggers/-'))!.value as { metadata: { query: string } }
).metadata.query;
const adapter = parse(read('hpa/prometheus-adapter-values.yaml')).rules;
/** A query as prometheus-adapter fills in its template. */
const filled = ({ metricsQuery, seriesQuery }: { metricsQuery: string; seriesQuery: string }, by: string) =>
  metricsQuery
    .replace('<<.Series>>', seriesQuery.split('{')[0]!)
    .replace('<<.LabelMatchers>>', 'namespace="img2img"')
    .replace('<<.GroupBy>>', by);
export const hpaSaturation = filled(adapter.custom[0], 'pod');
export const hpaP95 = filled(adapter.external[0], '');
