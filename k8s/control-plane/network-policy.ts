// Whether a NetworkPolicy speaks of the pods that run. Nothing enforces it here: that is a network plugin's.

import { connect } from 'node:net';
import type { Resource } from './api.js';

/** What is wrong, in sentences: a pod that is not selected, a port that no container names or where nothing listens. */
export async function policyFaults({ spec }: Resource, pods: readonly Resource[]): Promise<string[]> {
  const faults: string[] = [];
  for (const { metadata, spec: pod, status } of pods) {
    for (const [label, value] of Object.entries(spec.podSelector.matchLabels))
      if (metadata.labels[label] !== value) faults.push(`${metadata.name} has no ${label}=${value}`);
    const ports = pod.containers.flatMap((container: Resource) => container.ports ?? []);
    for (const { port } of spec.ingress.flatMap(({ ports }: Resource) => ports)) {
      const named = ports.find(({ name, containerPort }: Resource) => name === port || containerPort === port);
      if (!named) faults.push(`${metadata.name} has no port ${port}`);
      else if (!(await listens(status.podIP, named.containerPort)))
        faults.push(`nothing listens on ${port} of ${metadata.name}`);
    }
  }
  return faults;
}

function listens(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, address);
    socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
