// Nodes with GPUs, as NVIDIA's operator leaves them: the resources of its device plugin, and its taint.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Api, pathOf } from './api.js';

export interface NodeShape {
  readonly name: string;
  readonly zone: string;
  /** As the device plugin offers them: `nvidia.com/gpu`, `nvidia.com/mig-2g.20gb`. */
  readonly devices: Readonly<Record<string, number>>;
}

/** Two GPUs and three slices of one on each, a zone apart. */
export const threeNodes: readonly NodeShape[] = ['a', 'b', 'c'].map((zone) => ({
  name: `gpu-${zone}`,
  zone: `zone-${zone}`,
  devices: { 'nvidia.com/gpu': 2, 'nvidia.com/mig-2g.20gb': 3 },
}));

/** Registers the nodes and says every 10 s that they live, until `stop`. */
export async function registerNodes(api: Api, nodes: readonly NodeShape[]): Promise<{ stop(): void }> {
  for (const { name, zone, devices } of nodes) {
    await api.apply({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        labels: { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone, 'kubernetes.io/os': 'linux' },
      },
      spec: { taints: [{ key: 'nvidia.com/gpu', value: 'present', effect: 'NoSchedule' }] },
    });
    const resources = { cpu: '64', memory: '256Gi', 'ephemeral-storage': '1Ti', pods: '110' };
    const offered = Object.fromEntries(Object.entries(devices).map(([device, count]) => [device, String(count)]));
    await api.merge(`${pathOf('v1/nodes', undefined, name)}/status`, {
      status: {
        capacity: { ...resources, ...offered },
        allocatable: { ...resources, ...offered },
        conditions: [ready()],
      },
    });
  }
  let stopped = false;
  (async () => {
    while (!stopped) {
      for (const { name } of nodes) await beat(api, name).catch(() => undefined);
      await sleep(10_000, undefined, { ref: false });
    }
  })();
  return {
    stop() {
      stopped = true;
    },
  };
}

function ready() {
  const now = new Date().toISOString().replace(/\.\d+Z/, 'Z');
  return { type: 'Ready', status: 'True', reason: 'KubeletReady', lastHeartbeatTime: now, lastTransitionTime: now };
}

/** The node's lease, by which the node controller knows that it lives. */
async function beat(api: Api, name: string): Promise<void> {
  await api.apply({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace: 'kube-node-lease' },
    spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: new Date().toISOString().replace('Z', '000Z') },
  });
}
