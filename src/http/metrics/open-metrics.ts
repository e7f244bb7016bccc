// The text of a scrape: Prometheus' format, or OpenMetrics, which alone has room for exemplars, when Accept prefers it.

import { type OpenMetricsContentType, Registry } from 'prom-client';
import { preferred } from '../server/negotiation.js';

const types = ['text/plain', 'application/openmetrics-text'] as const;

export async function exposition(
  registry: Registry,
  accept: string | undefined,
): Promise<{ contentType: string; text: string }> {
  const wanted = preferred(accept, types) === 'application/openmetrics-text' ? openMetrics(registry) : registry;
  return { contentType: wanted.contentType, text: await wanted.metrics() };
}

/**
 * The same metrics in the other format. In OpenMetrics a counter's name is without `_total`, and prom-client takes it off
 * the metric itself, for the other format too: so counters are shown to it under names of their own.
 */
function openMetrics(registry: Registry): Registry<OpenMetricsContentType> {
  const other = new Registry<OpenMetricsContentType>();
  other.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  for (const metric of registry.getMetricsAsArray() as unknown as Metric[]) {
    const name = metric.name.replace(/_total$/, '');
    const shown =
      metric.type === 'counter'
        ? { name, type: 'counter', get: async () => ({ ...(await metric.get()), name }) }
        : metric;
    other.registerMetric(shown as never);
  }
  return other;
}

/** What prom-client's registry reads of a metric. */
interface Metric {
  readonly name: string;
  readonly type: string;
  get(): Promise<object>;
}
