// A PodMonitor as the part of Prometheus' configuration that its operator makes of it: but for where the pods are told.

import type { Resource } from './api.js';

const label = (name: string) => name.replaceAll(/[^a-zA-Z0-9_]/g, '_');

/** The fields that are read here; another would be dropped in silence. */
const known = {
  spec: ['jobLabel', 'selector', 'podMetricsEndpoints'],
  endpoint: ['port', 'path', 'interval', 'scrapeTimeout'],
};

/** @param pods file with the pods of its namespace, as discovery.ts writes it */
export function scrapesOf({ metadata, spec }: Resource, pods: string): object[] {
  onlyKnown(spec, known.spec);
  onlyKnown(spec.selector, ['matchLabels']);
  return spec.podMetricsEndpoints.map((endpoint: Resource, i: number) => {
    onlyKnown(endpoint, known.endpoint);
    return {
      job_name: `podMonitor/${metadata.namespace}/${metadata.name}/${i}`,
      scrape_interval: endpoint.interval,
      scrape_timeout: endpoint.scrapeTimeout,
      metrics_path: endpoint.path,
      file_sd_configs: [{ files: [pods] }],
      relabel_configs: [
        { action: 'drop', source_labels: ['__meta_kubernetes_pod_phase'], regex: '(Failed|Succeeded)' },
        ...Object.entries<string>(spec.selector.matchLabels).map(([name, value]) => ({
          action: 'keep',
          source_labels: [`__meta_kubernetes_pod_label_${label(name)}`],
          regex: value,
        })),
        { action: 'keep', source_labels: ['__meta_kubernetes_pod_container_port_name'], regex: endpoint.port },
        { source_labels: ['__meta_kubernetes_namespace'], target_label: 'namespace' },
        { source_labels: ['__meta_kubernetes_pod_container_name'], target_label: 'container' },
        { source_labels: ['__meta_kubernetes_pod_name'], target_label: 'pod' },
        { target_label: 'job', replacement: `${metadata.namespace}/${metadata.name}` },
        {
          source_labels: [`__meta_kubernetes_pod_label_${label(spec.jobLabel)}`],
          target_label: 'job',
          regex: '(.+)',
        },
        { target_label: 'endpoint', replacement: endpoint.port },
      ],
    };
  });
}

function onlyKnown(object: object, fields: readonly string[]): void {
  const other = Object.keys(object).find((key) => !fields.includes(key));
  if (other) throw new Error(`The PodMonitor has ${other}, which this does not translate.`);
}
