// KEDA: its operator, which scales, and its adapter, which tells the autoscaler the values of triggers.

import { aggregate } from './aggregate.js';
import type { ControlPlane } from './control-plane.js';
import { freePorts } from './processes.js';
import { pathOf } from './programs.js';

/** Both run on loopback, with the plane's certificates; only the adapter's own metrics listen on every address. */
export async function startKeda({ api, processes, kubeconfig }: ControlPlane): Promise<void> {
  const [values, health, aggregated, metrics] = (await freePorts(4)) as [number, number, number, number];
  const environment = {
    POD_NAMESPACE: 'keda',
    // For a pod they stand in a file of its service account.
    KEDA_CLUSTER_OBJECT_NAMESPACE: 'keda',
    WATCH_NAMESPACE: '',
    KUBECONFIG: kubeconfig,
  };
  await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'keda' } });
  processes.run(
    'keda-operator',
    pathOf('keda-operator'),
    [
      '--leader-elect=false',
      `--cert-dir=${processes.folder}`,
      '--enable-prometheus-metrics=false',
      `--health-probe-bind-address=127.0.0.1:${health}`,
      `--metrics-service-bind-address=127.0.0.1:${values}`,
    ],
    environment,
  );
  const ready = async () => (await fetch(`http://127.0.0.1:${health}/readyz`)).ok;
  await processes.until('KEDA is ready', 'keda-operator', ready);
  processes.run(
    'keda-adapter',
    pathOf('keda-adapter'),
    [
      '--bind-address=127.0.0.1',
      `--secure-port=${aggregated}`,
      `--port=${metrics}`,
      `--cert-dir=${processes.folder}`,
      '--tls-cert-file=tls.crt',
      '--tls-private-key-file=tls.key',
      `--metrics-service-address=localhost:${values}`,
      `--lister-kubeconfig=${kubeconfig}`,
      `--authentication-kubeconfig=${kubeconfig}`,
      `--authorization-kubeconfig=${kubeconfig}`,
    ],
    environment,
  );
  await aggregate(api, processes, 'v1beta1.external.metrics.k8s.io', 'keda-adapter', aggregated);
}
