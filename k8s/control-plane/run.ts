// npm run cluster:kubernetes [-- overlay]: an overlay in a real control plane on this machine, to look around in.

import { overlays } from '../../test/operations/manifests.js';
import { Fleet } from './fleet.js';
import { threeNodes } from './nodes.js';

/** A step of 0.2 s, whatever its rows. */
const costs = { callMs: { 1: 200, 64: 200 } };

const overlay = process.argv[2] ?? 'cuda';
if (!overlays.includes(overlay)) {
  console.error(`There is no overlay ${overlay}; there are ${overlays.join(', ')}.`);
  process.exit(1);
}
const fleet = await Fleet.start({ overlay, costs });
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, async () => {
    await fleet.close();
    process.exit(0);
  });
console.log(`
  kubectl     KUBECONFIG=${fleet.plane.kubeconfig} kubectl get pods,nodes,endpointslices
  balancer    ${fleet.balancer.url} (its own metrics: http://${fleet.balancer.metrics}/metrics)
  prometheus  ${fleet.prometheus.url}
  logs        ${fleet.plane.processes.folder}/logs

Nodes: ${threeNodes.map(({ name }) => name).join(', ')}, two GPUs each. Ctrl-C ends everything and removes it.
`);
