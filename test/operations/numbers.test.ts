// Every number in k8s/ follows from a setting or from another number. Here is how; change one and this says which others.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { ruleGroups } from '../../k8s/rules.js';
import { defaultConfig, readConfig } from '../../src/config.js';
import { requestBuckets, stageBuckets } from '../../src/http/metrics/metrics.js';
import { missing } from '../programs.js';
import { build, type Manifest, only, overlays, seconds, settings } from './manifests.js';

const skip = missing({ program: 'kustomize', install: 'go install sigs.k8s.io/kustomize/kustomize/v5@v5.0.3' });
const window = (probe: Manifest) => probe.periodSeconds * probe.failureThreshold;
const mebibytes = (quantity: string) => Number(/^(\d+)Mi$/.exec(quantity)![1]) * 2 ** 20;

for (const overlay of skip ? [] : overlays) {
  t.test(`the numbers of ${overlay}`, async (t) => {
    const manifests = build(overlay);
    const config = readConfig(settings(manifests));
    const { spec } = only(manifests, 'Deployment');
    const pod = spec.template.spec;
    const [container] = pod.containers;
    const port = (name: string) => container.ports.find((one: Manifest) => one.name === name).containerPort;
    const timeout = config.REQUEST_TIMEOUT_MS / 1000;
    const drainDelay = config.DRAIN_DELAY_MS / 1000;
    const drainDeadline = config.DRAIN_DEADLINE_MS / 1000;
    const preStop = container.lifecycle?.preStop?.sleep?.seconds ?? 0;

    t.equal(port('http'), config.PORT);
    t.equal(port('metrics'), config.METRICS_PORT);

    // Draining: the balancers see it before the door closes; what runs can end; the kill comes last.
    t.ok(drainDelay > window(container.readinessProbe), 'the drain delay is longer than readiness takes to fail');
    t.ok(drainDeadline >= drainDelay + timeout, 'the longest request can end within the drain deadline');
    t.ok(pod.terminationGracePeriodSeconds >= 1.5 * (preStop + drainDelay + timeout), 'grace: all of it, and half');
    t.ok(
      pod.terminationGracePeriodSeconds - preStop - drainDeadline >= 5,
      'the service ends itself before it is killed',
    );

    if (config.DEVICES.startsWith('cuda'))
      t.ok(config.STEP_TIMEOUT_MS <= config.REQUEST_TIMEOUT_MS / 2, 'what hangs can run again in time');

    t.ok(window(container.startupProbe) >= 600, 'a model may take 10 minutes to load');
    t.ok(spec.progressDeadlineSeconds > window(container.startupProbe), 'a rollout waits for it');
    t.ok(window(container.livenessProbe) >= 60, 'liveness is patient');

    if (config.THREADS !== undefined) t.equal(String(config.THREADS), container.resources.requests.cpu);
    t.equal(container.resources.requests.memory, container.resources.limits.memory);

    // Autoscaling: one loop reads the other's output, so each is at least as often as the next.
    const [endpoint] = only(manifests, 'PodMonitor').spec.podMetricsEndpoints;
    const { interval } = only(manifests, 'PrometheusRule').spec.groups[0];
    t.equal(interval, endpoint.interval, 'the load is recorded with every scrape');
    t.ok(seconds(endpoint.scrapeTimeout) < seconds(endpoint.interval));
    const scaled = only(manifests, 'ScaledObject');
    if (scaled) {
      t.ok(scaled.spec.pollingInterval >= seconds(interval));
      t.ok(scaled.spec.fallback.replicas <= scaled.spec.maxReplicaCount);
      const { scaleDown } = scaled.spec.advanced.horizontalPodAutoscalerConfig.behavior;
      t.ok(
        scaleDown.stabilizationWindowSeconds >= window(container.startupProbe),
        'no replica goes while one may still come',
      );
    }

    const route = only(manifests, 'HTTPRoute');
    if (route) {
      const policy = only(manifests, 'BackendTrafficPolicy').spec;
      const { interval, timeout: checkTimeout, unhealthyThreshold, http } = policy.healthCheck.active;
      t.ok(seconds(route.spec.rules[0].timeouts.request) > timeout, "the service's own 504 arrives");
      t.ok(
        seconds(interval) * unhealthyThreshold + seconds(checkTimeout) < drainDelay,
        'the gateway sees the drain in time',
      );
      t.equal(http.path, container.readinessProbe.httpGet.path);
      const longestBody = (4 / 3) * config.MAX_UPLOAD_BYTES + 4 * 2 * config.MAX_PROMPT_CHARS + 16_384;
      t.ok(mebibytes(policy.connection.bufferLimit) >= longestBody, 'every body is buffered whole');
      const { connection, http2 } = only(manifests, 'ClientTrafficPolicy').spec;
      t.equal(connection.bufferLimit, policy.connection.bufferLimit);
      t.equal(http2.initialStreamWindowSize, connection.bufferLimit, 'over HTTP/2 too');
    }
  });
}

t.test('both autoscalers do the same', { skip }, async (t) => {
  const keda = only(build('keda'), 'ScaledObject').spec;
  const hpa = only(build('hpa'), 'HorizontalPodAutoscaler').spec;
  const [saturation, p95] = keda.triggers;
  t.equal(`${Number(saturation.metadata.threshold) * 1000}m`, hpa.metrics[0].pods.target.averageValue);
  t.equal(p95.metadata.threshold, hpa.metrics[1].external.target.value);
  t.strictSame(keda.advanced.horizontalPodAutoscalerConfig.behavior, hpa.behavior);
  t.equal(keda.minReplicaCount, hpa.minReplicas);
  t.equal(keda.maxReplicaCount, hpa.maxReplicas);
});

t.test('the worked example in docs/deploy.md is about the shipped numbers', { skip }, async (t) => {
  const text = readFileSync(new URL('../../docs/deploy.md', import.meta.url), 'utf8');
  const { MAX_CONCURRENT, MAX_QUEUE } = settings(build('cuda'));
  const target = only(build('keda'), 'ScaledObject').spec.triggers[0].metadata.threshold;
  const [, slots] = /^\| s \| .* \| (\S+) \|$/m.exec(text)!;
  const [, share] = /^\| u \| .* \| (\S+) \|$/m.exec(text)!;
  t.equal(slots, MAX_CONCURRENT);
  t.equal(share, target);
  const requestSeconds = 25 * 0.11;
  const wait = Number(MAX_QUEUE) / (Number(slots) / requestSeconds);
  t.match(text, `${MAX_QUEUE} → ${wait.toFixed(0)} s, and is answered after ${(wait + requestSeconds).toFixed(0)} s`);
});

t.test('the buckets have what is asked of them', async (t) => {
  const timeout = defaultConfig.REQUEST_TIMEOUT_MS / 1000;
  t.ok(requestBuckets.includes(timeout), 'what ended in time is told from what did not');
  t.ok(requestBuckets.at(-1)! >= 1.5 * timeout, 'an upload may come before');
  t.ok(requestBuckets.includes(30), 'the objective');
  t.equal(stageBuckets.at(-1), timeout, 'the queue');
});

t.test('alerts and the objective', async (t) => {
  const rules = ruleGroups().flatMap(({ rules }) => rules);
  const alert = (name: string) => rules.find((rule) => rule.alert === name)!;
  const [, longestWait] = /> (\d+)$/.exec(alert('Img2imgQueueStuck').expr)!;
  const base = parse(readFileSync(new URL('../../k8s/base/kustomization.yaml', import.meta.url), 'utf8'));
  t.ok(base.configMapGenerator[0].literals.includes(`REQUEST_TIMEOUT_MS=${Number(longestWait) * 1000}`));
  t.equal(Number(longestWait) * 1000, defaultConfig.REQUEST_TIMEOUT_MS);
  const edges = new Set(rules.flatMap(({ expr }) => [...expr.matchAll(/le=~"(\d+)/g)].map(([, edge]) => edge)));
  t.strictSame([...edges], ['30'], 'one objective');
  const keda = parse(readFileSync(new URL('../../k8s/components/keda/scaled-object.yaml', import.meta.url), 'utf8'));
  t.equal(keda.spec.triggers[1].metadata.threshold, '30', 'the guardrail is the objective');
  t.ok(
    Number(/> ([\d.]+)/.exec(alert('Img2imgSaturated').expr)![1]) > Number(keda.spec.triggers[0].metadata.threshold),
    'the autoscaler acts before the alert',
  );
});
