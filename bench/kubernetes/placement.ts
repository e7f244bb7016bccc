// Where the scheduler puts replicas on nodes with GPUs and slices of them, and what it says of those that do not fit.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Api, pathOf, type Resource } from '../../k8s/control-plane/api.js';
import { ControlPlane } from '../../k8s/control-plane/control-plane.js';
import { namespace } from '../../k8s/control-plane/fleet.js';
import { registerNodes, threeNodes } from '../../k8s/control-plane/nodes.js';
import { build } from '../../test/operations/manifests.js';

export interface Placement {
  readonly overlay: string;
  /** What a replica asks of the device plugin; undefined for none. */
  readonly device: string | undefined;
  readonly replicas: number;
  /** Replicas by node. */
  readonly placed: Readonly<Record<string, number>>;
  /** The scheduler's own words, for each that stays Pending. */
  readonly pending: readonly string[];
}

/** Two GPUs and three slices of one on each of three nodes; what is asked for is one more than there are. */
export async function placements(told: (placement: Placement) => void): Promise<Placement[]> {
  const plane = await ControlPlane.start();
  try {
    await plane.startControllers();
    const nodes = await registerNodes(plane.api, threeNodes);
    const outcome: Placement[] = [];
    for (const [overlay, replicas] of [
      ['cuda', 7],
      ['mig', 10],
      ['cpu', 1],
    ] as const) {
      const placement = await place(plane.api, overlay, replicas);
      told(placement);
      outcome.push(placement);
    }
    nodes.stop();
    return outcome;
  } finally {
    await plane.close();
  }
}

async function place(api: Api, overlay: string, replicas: number): Promise<Placement> {
  const kinds = ['Namespace', 'ServiceAccount', 'ConfigMap', 'Deployment'];
  const manifests = build(overlay).filter(({ kind }) => kinds.includes(kind));
  const deployment: Resource = manifests.find(({ kind }) => kind === 'Deployment');
  deployment.spec.replicas = replicas;
  for (const manifest of manifests) await api.apply(manifest);
  const said = ({ status }: Resource): Resource =>
    status.conditions?.find(({ type }: Resource) => type === 'PodScheduled') ?? {};
  let pods: Resource[] = [];
  for (const end = Date.now() + 60_000; ; await sleep(500)) {
    pods = (await api.get(pathOf('v1/pods', namespace))).items;
    if (pods.length === replicas && pods.every((pod) => said(pod).status)) break;
    if (Date.now() > end) throw new Error(`${overlay}: the scheduler has not decided on ${replicas} pods within 60 s`);
  }
  const placed: Record<string, number> = {};
  for (const { spec } of pods) if (spec.nodeName) placed[spec.nodeName] = (placed[spec.nodeName] ?? 0) + 1;
  await remove(api);
  return {
    overlay,
    device: Object.keys(deployment.spec.template.spec.containers[0].resources.limits).find((name) =>
      name.startsWith('nvidia.com/'),
    ),
    replicas,
    placed,
    pending: pods.filter(({ spec }) => !spec.nodeName).map((pod) => said(pod).message),
  };
}

/** No kubelet ends pods here, and until the Deployment is gone there may be new ones. */
async function remove(api: Api): Promise<void> {
  await api.ask('DELETE', pathOf('apps/v1/deployments', namespace, 'img2img'), { propagationPolicy: 'Background' });
  const left = async (): Promise<Resource[]> => [
    ...(await api.get(pathOf('apps/v1/replicasets', namespace))).items,
    ...(await api.get(pathOf('v1/pods', namespace))).items,
  ];
  while ((await left()).length > 0) {
    for (const { metadata } of (await api.get(pathOf('v1/pods', namespace))).items)
      await api
        .ask('DELETE', pathOf('v1/pods', namespace, metadata.name), { gracePeriodSeconds: 0 })
        .catch(() => undefined); // gone already
    await sleep(500);
  }
}
