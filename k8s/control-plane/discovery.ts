// The pods as Prometheus' own discovery (`role: pod`) tells them, in a file that Prometheus watches: Debian builds it without that.

import { renameSync, writeFileSync } from 'node:fs';
import { type Api, pathOf, type Resource } from './api.js';

const word = (name: string) => name.replaceAll(/[^a-zA-Z0-9_]/g, '_');

/** One target for each port of each container. */
export function targetsOf({
  metadata,
  spec,
  status,
}: Resource): { targets: string[]; labels: Record<string, string> }[] {
  if (!status.podIP) return [];
  const own = Object.entries<string>(metadata.labels ?? {}).map(([name, value]) => [`pod_label_${word(name)}`, value]);
  return spec.containers.flatMap((container: Resource) =>
    (container.ports ?? []).map(({ name, containerPort }: Resource) => {
      const labels = {
        namespace: metadata.namespace,
        pod_name: metadata.name,
        pod_ip: status.podIP,
        pod_phase: status.phase,
        pod_node_name: spec.nodeName,
        pod_container_name: container.name,
        pod_container_port_name: name ?? '',
        pod_container_port_number: String(containerPort),
        ...Object.fromEntries(own),
      };
      return {
        targets: [`${status.podIP}:${containerPort}`],
        labels: Object.fromEntries(Object.entries(labels).map(([key, value]) => [`__meta_kubernetes_${key}`, value])),
      };
    }),
  );
}

/** Writes the targets of a namespace into a file, and again whenever one changes, until `stop`. */
export function discoverPods(api: Api, namespace: string, file: string): { stop(): void } {
  const pods = new Map<string, Resource>();
  const write = () => {
    writeFileSync(`${file}.part`, JSON.stringify([...pods.values()].flatMap(targetsOf)));
    renameSync(`${file}.part`, file);
  };
  write();
  return api.watch(pathOf('v1/pods', namespace), (pod, gone) => {
    if (gone) pods.delete(pod.metadata.uid);
    else pods.set(pod.metadata.uid, pod);
    write();
  });
}
