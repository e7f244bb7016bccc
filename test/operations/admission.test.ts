// A real API server admits what kustomize builds: `npm run test:kubernetes` builds one.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { ApiError, pathOf, type Resource } from '../../k8s/control-plane/api.js';
import { ControlPlane } from '../../k8s/control-plane/control-plane.js';
import { build, type Manifest, only, overlays } from './manifests.js';

const skip = process.env.KUBERNETES_PROGRAMS ? false : 'needs KUBERNETES_PROGRAMS (npm run test:kubernetes)';

t.test('the API server', { skip, timeout: 300_000 }, async (t) => {
  const plane = await ControlPlane.start();
  t.teardown(() => plane.close());
  const { api } = plane;
  // The gateway's own, which is there before its policies.
  await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'envoy-gateway-system' } });
  const refusal = (going: Promise<Resource>) =>
    going.then(
      () => undefined,
      (error) => {
        if (error instanceof ApiError) return error.message;
        throw error;
      },
    );
  // Pod Security holds pods, not what makes them: so the pod of the template is asked for as well.
  const admits = (pod: Manifest) => refusal(api.ask('POST', `${pathOf('v1/pods', 'img2img')}?dryRun=All`, pod));
  const podOf = (manifests: readonly Manifest[]): Manifest => {
    const { metadata, spec } = only(manifests, 'Deployment').spec.template;
    return { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'img2img-of-the-template' }, spec };
  };

  for (const overlay of overlays) {
    await t.test(`admits the overlay ${overlay} and its pods`, async (t) => {
      const manifests = build(overlay);
      for (const manifest of manifests)
        t.equal(await refusal(api.apply(manifest)), undefined, `${manifest.kind} ${manifest.metadata.name}`);
      t.equal(await admits(podOf(manifests)), undefined, 'its pods');
    });
  }

  await t.test('enforces restricted, where the pods run', async (t) => {
    const { metadata } = await api.get(pathOf('v1/namespaces', undefined, 'img2img'));
    t.equal(metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted');
  });

  await t.test('admits the pod that fills the volume', async (t) => {
    // A controller's work elsewhere.
    await api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: 'img2img' } });
    const file = new URL('../../k8s/components/models-pvc/fill-pod.yaml', import.meta.url);
    t.equal(await admits(parse(readFileSync(file, 'utf8'))), undefined);
  });

  await t.test('refuses what is wrong', async (t) => {
    const manifests = build('production');
    const faults: readonly [string, RegExp, (m: Manifest[]) => Promise<string | undefined>][] = [
      [
        'an unknown field',
        /livenesProbe/,
        (m) => {
          only(m, 'Deployment').spec.template.spec.containers[0].livenesProbe = {};
          return refusal(api.apply(only(m, 'Deployment'), true));
        },
      ],
      [
        'an unknown field of KEDA',
        /pollInterval/,
        (m) => {
          only(m, 'ScaledObject').spec.pollInterval = 15;
          return refusal(api.apply(only(m, 'ScaledObject'), true));
        },
      ],
      [
        'a pod that may become root',
        /violates PodSecurity "restricted.*runAsNonRoot/,
        (m) => {
          const pod = podOf(m);
          delete pod.spec.securityContext.runAsNonRoot;
          return admits(pod);
        },
      ],
    ];
    for (const [name, message, fault] of faults) t.match(await fault(structuredClone(manifests)), message, name);
  });
});
