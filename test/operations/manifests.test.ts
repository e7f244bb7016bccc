// k8s/: kustomize builds every overlay, and what it builds is right by schema, by type and together.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { readConfig, settingsTable } from '../../src/config.js';
import { missing } from '../programs.js';
import { apiPackages, schemaFaults, typeFaults } from './api/faults.js';
import { crossFaults } from './cross-faults.js';
import { build, type Manifest, only, overlays, settings } from './manifests.js';

const skip = missing(
  { program: 'kustomize', install: 'go install sigs.k8s.io/kustomize/kustomize/v5@v5.0.3' },
  apiPackages,
);

for (const overlay of skip ? [] : overlays) {
  t.test(`the overlay ${overlay}`, async (t) => {
    const manifests = build(overlay);
    t.strictSame(await schemaFaults(manifests), [], 'by schema');
    t.strictSame(crossFaults(manifests), [], 'together');
    t.test('starts with settings that the service takes', async (t) => {
      const known = new Set(settingsTable.map(({ name }) => name));
      t.doesNotThrow(() => readConfig(settings(manifests)));
      for (const name of Object.keys(settings(manifests))) t.ok(known.has(name), `${name} is a setting`);
    });
  });
}

t.test('all overlays by type', { skip }, async (t) => {
  t.strictSame(typeFaults(overlays.flatMap(build)), []);
});

t.test('the pod that fills the volume', { skip: missing(apiPackages) }, async (t) => {
  const pod = parse(readFileSync(new URL('../../k8s/components/models-pvc/fill-pod.yaml', import.meta.url), 'utf8'));
  t.strictSame(await schemaFaults([pod]), []);
  t.strictSame(typeFaults([pod]), []);
});

t.test('each overlay has what its name says', { skip }, async (t) => {
  const gpu = (manifests: Manifest[]) =>
    Object.keys(only(manifests, 'Deployment').spec.template.spec.containers[0].resources.limits);
  const built = Object.fromEntries(overlays.map((overlay) => [overlay, build(overlay)]));
  t.strictSame(gpu(built.cpu!), ['memory']);
  t.strictSame(gpu(built.cuda!), ['memory', 'nvidia.com/gpu']);
  t.strictSame(gpu(built.mig!), ['memory', 'nvidia.com/mig-2g.20gb']);
  for (const overlay of ['cpu', 'cuda']) t.equal(only(built[overlay]!, 'Deployment').spec.replicas, 1);
  for (const overlay of ['keda', 'production']) t.equal(only(built[overlay]!, 'ScaledObject').spec.minReplicaCount, 1);
  t.ok(only(built.hpa!, 'HorizontalPodAutoscaler'));
  t.equal(only(built['scale-to-zero']!, 'ScaledObject').spec.minReplicaCount, 0);
  const alerts = (overlay: string) =>
    only(built[overlay]!, 'PrometheusRule').spec.groups.flatMap(({ rules }: Manifest) =>
      rules.map(({ alert }: Manifest) => alert),
    );
  t.ok(alerts('keda').includes('Img2imgNoReadyReplica'));
  t.notOk(alerts('scale-to-zero').includes('Img2imgNoReadyReplica'));
  for (const overlay of ['gateway', 'production']) t.ok(only(built[overlay]!, 'HTTPRoute'));
  t.ok(settings(built.traces!).OTEL_EXPORTER_OTLP_ENDPOINT);
  for (const overlay of ['models-pvc', 'production', 'models-image-volume'])
    t.equal(settings(built[overlay]!).MODELS_DIR, '/models');
});

t.test('each check finds its fault', { skip }, async (t) => {
  const faults: readonly [string, 'schema' | 'type' | 'cross', (manifests: Manifest[]) => void][] = [
    ['a misspelled field', 'type', (m) => (only(m, 'Deployment').spec.template.spec.containers[0].livenesProbe = {})],
    ['an unknown word', 'type', (m) => (only(m, 'BackendTrafficPolicy').spec.loadBalancer.type = 'LeastRequests')],
    ['a wrong type', 'schema', (m) => (only(m, 'Service').spec.ports[0].port = 'http')],
    [
      'a bad quantity',
      'schema',
      (m) => (only(m, 'Deployment').spec.template.spec.containers[0].resources.limits.memory = '12 GB'),
    ],
    ['a missing field', 'schema', (m) => delete only(m, 'ScaledObject').spec.triggers],
    ['a Service that selects nothing', 'cross', (m) => (only(m, 'Service').spec.selector = { app: 'other' })],
    ['a budget without a selector', 'cross', (m) => delete only(m, 'PodDisruptionBudget').spec.selector],
    ['a port that is not there', 'cross', (m) => (only(m, 'PodMonitor').spec.podMetricsEndpoints[0].port = 'metric')],
    ['replicas beside an autoscaler', 'cross', (m) => (only(m, 'Deployment').spec.replicas = 2)],
    ['two autoscalers', 'cross', (m) => m.push(only(build('hpa'), 'HorizontalPodAutoscaler'))],
    ['a surge', 'cross', (m) => (only(m, 'Deployment').spec.strategy.rollingUpdate.maxSurge = 1)],
    ['service links', 'cross', (m) => delete only(m, 'Deployment').spec.template.spec.enableServiceLinks],
    [
      'an image that nobody set',
      'cross',
      (m) => (only(m, 'Deployment').spec.template.spec.initContainers[0].image = 'img2img'),
    ],
    ['a cache that cannot be written', 'cross', (m) => (settings(m).CACHE_DIR = './cache')],
    ['no way to the collector', 'cross', (m) => (settings(m).OTEL_EXPORTER_OTLP_ENDPOINT = 'http://collector:4318')],
    ['a route to nowhere', 'cross', (m) => (only(m, 'HTTPRoute').spec.rules[0].backendRefs[0].port = 8080)],
    [
      'settings of another ConfigMap',
      'cross',
      (m) => (only(m, 'Deployment').spec.template.spec.containers[0].envFrom[0].configMapRef.name = 'x'),
    ],
  ];
  for (const [name, kind, spoil] of faults) {
    const manifests = build('production');
    spoil(manifests);
    const found =
      kind === 'schema'
        ? await schemaFaults(manifests)
        : kind === 'type'
          ? typeFaults(manifests)
          : crossFaults(manifests);
    t.ok(found.length > 0, `${kind}: ${name}`);
  }
});

t.test('keys are required where an overlay has them, and production has them', { skip }, (t) => {
  const secretsOf = (overlay: string) =>
    only(build(overlay), 'Deployment').spec.template.spec.containers[0].envFrom.flatMap(
      ({ secretRef }: { secretRef?: object }) => secretRef ?? [],
    );
  t.strictSame(secretsOf('production'), [{ name: 'img2img-keys' }]);
  for (const overlay of overlays) {
    for (const secret of secretsOf(overlay)) t.notOk(secret.optional, `${overlay}: ${secret.name} is no option`);
  }
  t.end();
});

t.test('the init container lets only the models start that SHA256SUMS names', async (t) => {
  const patch = readFileSync(new URL('../../k8s/components/models-pvc/deployment.yaml', import.meta.url), 'utf8');
  const [sh, flags, script]: string[] = parse(patch).spec.template.spec.initContainers[0].command;
  const folder = t.testdir({ models: { 'a.onnx': 'weights', unet: { 'b.onnx': 'more' } }, sha256: { SHA256SUMS: '' } });
  const here = script!.replaceAll('/models', `${folder}/models`).replaceAll('/sha256/', `${folder}/sha256/`);
  const verify = () => spawnSync(sh!, [flags!, here]).status;
  t.not(verify(), 0, 'an empty list');
  const { stdout } = spawnSync('sh', ['-c', 'find . ! -type d -exec sha256sum {} +'], { cwd: `${folder}/models` });
  writeFileSync(`${folder}/sha256/SHA256SUMS`, stdout);
  t.equal(verify(), 0, 'all as it was');
  writeFileSync(`${folder}/models/extra.onnx`, 'x');
  t.not(verify(), 0, 'a file more');
  rmSync(`${folder}/models/extra.onnx`);
  symlinkSync('a.onnx', `${folder}/models/link.onnx`);
  t.not(verify(), 0, 'a link more, though to a file that is named');
  rmSync(`${folder}/models/link.onnx`);
  writeFileSync(`${folder}/models/unet/b.onnx`, 'other');
  t.not(verify(), 0, 'a file that was changed');
  spawnSync('rm', [`${folder}/models/unet/b.onnx`]);
  t.not(verify(), 0, 'a file less');
});
