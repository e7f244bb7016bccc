// What is wrong with the manifests of an overlay together, which no schema knows.

import { type Manifest, only, settings } from './manifests.js';

/** What only the manifests together show. */
export function crossFaults(manifests: readonly Manifest[]): string[] {
  const faults: string[] = [];
  const expect = (holds: unknown, fault: string) => {
    if (!holds) faults.push(fault);
  };
  const deployment = only(manifests, 'Deployment');
  const pod = deployment.spec.template;
  const [container] = pod.spec.containers;
  const ports = new Map<string, number>(
    container.ports.map(({ name, containerPort }: Manifest) => [name, containerPort]),
  );
  const selects = (selector: Record<string, string> | undefined) =>
    selector !== undefined &&
    Object.keys(selector).length > 0 &&
    Object.entries(selector).every(([label, value]) => pod.metadata.labels[label] === value);

  for (const manifest of manifests) {
    const { kind, spec, metadata } = manifest;
    expect(
      kind === 'Namespace' || kind === 'ClientTrafficPolicy' || metadata.namespace === 'img2img',
      `${kind} is in the namespace ${metadata.namespace}`,
    );
    if (kind === 'Deployment') expect(selects(spec.selector.matchLabels), 'the Deployment does not select its pods');
    if (kind === 'Service') {
      expect(selects(spec.selector), 'the Service selects no pod');
      for (const { targetPort } of spec.ports)
        expect(ports.has(targetPort), `the Service's port ${targetPort} is not there`);
    }
    if (kind === 'PodDisruptionBudget' || kind === 'PodMonitor')
      expect(selects(spec.selector?.matchLabels), `the ${kind} selects no pod`);
    if (kind === 'PodDisruptionBudget')
      expect(spec.maxUnavailable === 1, 'the PodDisruptionBudget can block the drain of a node');
    if (kind === 'PodMonitor') {
      for (const { port } of spec.podMetricsEndpoints)
        expect(ports.has(port), `the PodMonitor's port ${port} is not there`);
    }
    if (kind === 'NetworkPolicy') {
      expect(selects(spec.podSelector.matchLabels), 'the NetworkPolicy selects no pod');
      for (const rule of spec.ingress)
        for (const { port } of rule.ports) expect(ports.has(port), `the NetworkPolicy's port ${port} is not there`);
      const collector = settings(manifests).OTEL_EXPORTER_OTLP_ENDPOINT;
      const opened = (spec.egress ?? []).flatMap(({ ports }: Manifest) => ports.map(({ port }: Manifest) => port));
      expect(
        !collector || opened.includes(Number(new URL(collector).port)),
        `the NetworkPolicy keeps spans from ${collector}`,
      );
    }
    if (kind === 'ScaledObject' || kind === 'HorizontalPodAutoscaler') {
      expect(spec.scaleTargetRef.name === deployment.metadata.name, `the ${kind} scales nothing that is there`);
      expect(deployment.spec.replicas === undefined, 'the Deployment has replicas beside an autoscaler');
    }
    if (kind === 'HTTPRoute') {
      for (const rule of spec.rules)
        for (const { name, port } of rule.backendRefs) {
          const service = manifests.find((other) => other.kind === 'Service' && other.metadata.name === name);
          expect(
            service?.spec.ports.some((one: Manifest) => one.port === port),
            `the HTTPRoute's ${name}:${port} is not there`,
          );
        }
    }
    if (kind === 'BackendTrafficPolicy')
      for (const { kind, name } of spec.targetRefs)
        expect(
          only(manifests, kind)?.metadata.name === name,
          `the BackendTrafficPolicy's ${kind} ${name} is not there`,
        );
  }
  expect(
    !(only(manifests, 'ScaledObject') && only(manifests, 'HorizontalPodAutoscaler')),
    'a HorizontalPodAutoscaler stands beside a ScaledObject',
  );
  for (const { name, image, securityContext, volumeMounts } of [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []),
  ]) {
    expect(image.includes('/'), `${name} has the image ${image}, which no overlay has replaced`);
    expect(
      securityContext.readOnlyRootFilesystem && !securityContext.allowPrivilegeEscalation,
      `${name} can write its root or gain rights`,
    );
    expect(securityContext.capabilities.drop.includes('ALL'), `${name} keeps capabilities`);
    for (const mount of volumeMounts)
      expect(
        pod.spec.volumes.some((volume: Manifest) => volume.name === mount.name),
        `${name} mounts ${mount.name}, which is not there`,
      );
  }
  for (const path of ['/tmp', settings(manifests).CACHE_DIR])
    expect(
      container.volumeMounts.some(({ mountPath, readOnly }: Manifest) => mountPath === path && !readOnly),
      `${path} cannot be written`,
    );
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe'])
    expect(ports.has(container[probe].httpGet.port), `the ${probe}'s port is not there`);
  expect(container.startupProbe.httpGet.path === '/readyz', 'the start-up probe does not wait for the model');
  expect(container.livenessProbe.httpGet.path === '/livez', 'liveness depends on more than the process');
  const { maxSurge, maxUnavailable } = deployment.spec.strategy.rollingUpdate;
  expect(maxSurge === 0 && maxUnavailable === 1, 'a rollout waits for a spare GPU');
  expect(pod.spec.enableServiceLinks === false, 'service links would set IMG2IMG_PORT');
  expect(pod.spec.automountServiceAccountToken === false, 'the pods have a token');
  expect(
    pod.spec.securityContext.runAsNonRoot && pod.spec.securityContext.seccompProfile.type === 'RuntimeDefault',
    'the pods run as root or without seccomp',
  );
  for (const { configMapRef } of container.envFrom)
    if (configMapRef)
      expect(
        manifests.some(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === configMapRef.name),
        `the ConfigMap ${configMapRef.name} is not there`,
      );
  return faults;
}
