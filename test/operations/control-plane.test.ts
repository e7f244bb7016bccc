// The parts of k8s/control-plane that translate, and whether what was run in a real control plane is still what is shipped.

import t from 'tap';
import { digestsOf } from '../../bench/kubernetes/manifests.js';
import { changesOf, startsOf } from '../../bench/kubernetes/report.js';
import { readResults } from '../../bench/kubernetes/results.js';
import { targetsOf } from '../../k8s/control-plane/discovery.js';
import { scrapesOf } from '../../k8s/control-plane/scrapes.js';
import { missing } from '../programs.js';
import { build, only } from './manifests.js';

const skip = missing({ program: 'kustomize', install: 'go install sigs.k8s.io/kustomize/kustomize/v5@v5.0.3' });

t.test('what was run in a real control plane is what is shipped', async (t) => {
  const results = Object.entries(readResults());
  t.ok(results.length > 0);
  for (const [part, { manifests }] of results)
    t.strictSame(digestsOf(Object.keys(manifests)), manifests, `${part}: npm run bench:kubernetes -- ${part}`);
});

t.test('a PodMonitor as scrapes', { skip }, async (t) => {
  const podMonitor = only(build('keda'), 'PodMonitor');
  const [scrape] = scrapesOf(podMonitor, '/pods.json');
  t.match(scrape, {
    job_name: 'podMonitor/img2img/img2img/0',
    scrape_interval: '15s',
    scrape_timeout: '5s',
    metrics_path: '/metrics',
    file_sd_configs: [{ files: ['/pods.json'] }],
  });
  for (const spoil of [
    (spec: Record<string, unknown>) => (spec.sampleLimit = 5),
    (spec: { selector: Record<string, unknown> }) => (spec.selector.matchExpressions = []),
    (spec: { podMetricsEndpoints: Record<string, unknown>[] }) => (spec.podMetricsEndpoints[0]!.scheme = 'https'),
  ]) {
    const other = structuredClone(podMonitor);
    spoil(other.spec);
    t.throws(() => scrapesOf(other, '/pods.json'), /which this does not translate/, spoil.toString());
  }
});

t.test('a pod as the targets of its ports', { skip }, async (t) => {
  const { metadata, spec } = only(build('cuda'), 'Deployment').spec.template;
  const pod = { metadata: { ...metadata, name: 'one', namespace: 'img2img' }, spec: { ...spec, nodeName: 'n' } };
  t.strictSame(targetsOf({ ...pod, status: {} }), [], 'none before it has an address');
  const targets = targetsOf({ ...pod, status: { podIP: '10.244.0.1', phase: 'Running' } });
  t.strictSame(
    targets.map(({ targets }) => targets),
    [['10.244.0.1:8080'], ['10.244.0.1:9464']],
  );
  t.match(targets[1]!.labels, {
    __meta_kubernetes_namespace: 'img2img',
    __meta_kubernetes_pod_name: 'one',
    __meta_kubernetes_pod_container_port_name: 'metrics',
    __meta_kubernetes_pod_label_app_kubernetes_io_name: 'img2img',
  });
});

t.test('what became of a load, as its changes and the waits for replicas', async (t) => {
  const samples = [
    [0, 1, 1],
    [5, 1, 1],
    [10, 3, 1],
    [15, 3, 2],
    [20, 3, 3],
    [25, 2, 3],
  ].map(([at, wanted, ready]) => ({ at: at!, clients: 1, wanted: wanted!, ready: ready! }));
  t.strictSame(
    changesOf(samples).map(({ at }) => at),
    [0, 10, 15, 20, 25],
  );
  t.strictSame(startsOf(samples), [10]);
});
