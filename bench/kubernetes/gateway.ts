// What Envoy is told: the overlay `gateway`, translated by Envoy Gateway's own code. Nothing is sent through it: its translator is a
// program of Go, and Envoy is not.

import { execFileSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import type { Resource } from '../../k8s/control-plane/api.js';
import { namespace } from '../../k8s/control-plane/fleet.js';
import { build } from '../../test/operations/manifests.js';

export interface Told {
  /** Of what Envoy is told. */
  readonly what: string;
  readonly told: unknown;
  /** By the manifests. */
  readonly wanted: unknown;
}

export const isAsWanted = ({ told, wanted }: Told): boolean => isDeepStrictEqual(told, wanted);

const gatewayNamespace = 'envoy-gateway-system';

/** What a cluster has before the overlay is applied: Envoy Gateway with a Gateway `public`, as docs/deploy.md asks for. */
const ofCluster: readonly Resource[] = [
  {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'GatewayClass',
    metadata: { name: 'envoy' },
    spec: { controllerName: 'gateway.envoyproxy.io/gatewayclass-controller' },
  },
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: gatewayNamespace } },
  {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: 'public', namespace: gatewayNamespace },
    spec: {
      gatewayClassName: 'envoy',
      listeners: [{ name: 'http', protocol: 'HTTP', port: 80, allowedRoutes: { namespaces: { from: 'All' } } }],
    },
  },
];
const translated = ['Namespace', 'Service', 'HTTPRoute', 'BackendTrafficPolicy', 'ClientTrafficPolicy'];

/** @param egctl Envoy Gateway's program */
export function translation(egctl: string): Told[] {
  const manifests: Resource[] = build('gateway').filter(({ kind }) => translated.includes(kind));
  const of = (kind: string): Resource => manifests.find((manifest) => manifest.kind === kind);
  // The API server gives it one.
  of('Service').spec.clusterIP = '10.0.0.1';
  const input = [...ofCluster, ...manifests].map((manifest) => stringify(manifest)).join('---\n');
  const options = ['x', 'translate', '--from', 'gateway-api', '--to', 'xds', '-o', 'json', '-f', '-'];
  const { xds } = JSON.parse(execFileSync(egctl, options, { input, encoding: 'utf8', maxBuffer: 2 ** 26 }));
  const { configs } = xds[`${gatewayNamespace}/public`];
  const dump = (kind: string): Resource =>
    configs.find((config: Resource) => config['@type'].endsWith(`.${kind}ConfigDump`));

  const [host] = dump('Routes').dynamicRouteConfigs[0].routeConfig.virtualHosts;
  const [entry] = host.routes;
  const { match, route } = entry;
  const { cluster } = dump('Clusters').dynamicActiveClusters[0];
  const [check] = cluster.healthChecks;
  const { listener } = dump('Listeners')
    .dynamicListeners.map(({ activeState }: Resource) => activeState)
    .find(({ listener }: Resource) => listener.name === `${gatewayNamespace}/public/http`);
  const manager = listener.defaultFilterChain.filters[0].typedConfig;

  const [rule] = of('HTTPRoute').spec.rules;
  const { retry, connection, loadBalancer, healthCheck } = of('BackendTrafficPolicy').spec;
  const { active } = healthCheck;
  const client = of('ClientTrafficPolicy').spec;
  return [
    { what: 'hosts', told: host.domains, wanted: of('HTTPRoute').spec.hostnames },
    { what: 'paths from', told: match.prefix, wanted: rule.matches[0].path.value },
    { what: 'to', told: route.cluster, wanted: `httproute/${namespace}/img2img/rule/0` },
    { what: 'timeout of all tries', told: route.timeout, wanted: rule.timeouts.request },
    { what: 'tries again', told: route.retryPolicy.numRetries, wanted: retry.numRetries },
    { what: 'when', told: route.retryPolicy.retryOn, wanted: retry.retryOn.triggers.join() },
    {
      what: 'after answers of',
      told: route.retryPolicy.retriableStatusCodes,
      wanted: retry.retryOn.httpStatusCodes,
    },
    {
      what: 'elsewhere than before',
      told: route.retryPolicy.retryHostPredicate.map(({ name }: Resource) => name),
      wanted: ['envoy.retry_host_predicates.previous_hosts'],
    },
    {
      what: 'balancing',
      told: cluster.loadBalancingPolicy.policies.map((policy: Resource) => policy.typedExtensionConfig.name),
      wanted: [`envoy.load_balancing_policies.${camelToSnake(loadBalancer.type)}`],
    },
    { what: 'checks', told: check.httpHealthCheck.path, wanted: active.http.path },
    { what: 'every', told: [check.interval, check.timeout], wanted: [active.interval, active.timeout] },
    {
      what: 'unready and ready after',
      told: [check.unhealthyThreshold, check.healthyThreshold],
      wanted: [active.unhealthyThreshold, active.healthyThreshold],
    },
    {
      what: 'ready by answers from, below',
      told: check.httpHealthCheck.expectedStatuses,
      wanted: active.http.expectedStatuses.map((status: number) => ({ start: `${status}`, end: `${status + 1}` })),
    },
    { what: 'no ejection by answers', told: cluster.outlierDetection ?? null, wanted: null },
    {
      what: 'buffer of the listener, bytes',
      told: listener.perConnectionBufferLimitBytes,
      wanted: bytes(client.connection.bufferLimit),
    },
    {
      what: 'buffer of each stream over HTTP/2, bytes',
      told: manager.http2ProtocolOptions.initialStreamWindowSize,
      wanted: bytes(client.http2.initialStreamWindowSize),
    },
    {
      what: 'buffer to the replicas, bytes',
      told: cluster.perConnectionBufferLimitBytes,
      wanted: bytes(connection.bufferLimit),
    },
    {
      what: 'a limit of its own for tries again',
      told: entry.requestBodyBufferLimit ?? entry.perRequestBufferLimitBytes ?? null,
      wanted: null,
    },
  ];
}

const camelToSnake = (name: string) => name.replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
const bytes = (quantity: string) => Number(/^(\d+)Mi$/.exec(quantity)![1]) * 2 ** 20;
