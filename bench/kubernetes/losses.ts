// What clients lose while replicas are rolled, drained, taken away and killed.

import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, pathOf } from '../../k8s/control-plane/api.js';
import { Fleet, type FleetOptions, namespace } from '../../k8s/control-plane/fleet.js';
import { policyFaults } from '../../k8s/control-plane/network-policy.js';
import { threeNodes } from '../../k8s/control-plane/nodes.js';
import { quantile } from '../engine.js';
import { Clients, calmDigests, costs, Load } from './requests.js';

const replicas = 4;
/** Of the capacity when all replicas are there. */
const share = 0.6;
export interface Loss {
  readonly what: string;
  /** How often it was done. */
  readonly times: number;
  readonly sent: number;
  readonly failed: Readonly<Record<string, number>>;
  readonly errors: readonly string[];
  readonly changed: number;
  /** Requests that the balancer has sent again. */
  readonly retries: number;
  /** Requests per second when nothing happens and all slots are taken; 60 % of it came. */
  readonly capacity: number;
  readonly p50: number;
  readonly p99: number;
}

/** What the fleet does while nothing happens to it. */
interface Calm {
  readonly digests: readonly string[];
  /** Requests with all slots taken. */
  readonly perSecond: number;
}

type Event = (fleet: Fleet) => Promise<void>;

/** @param wanted requests in each case, at least */
export async function shippedLosses(wanted: number, told: (loss: Loss) => void): Promise<Loss[]> {
  const cases: [string, Event][] = [
    ['rolling update of all replicas', rollout],
    ['drain of a node', drain],
    ['down to 3 replicas and up to 4', scaleDown],
    ['SIGKILL of one replica', kill],
  ];
  return await withFleet({}, undefined, async (fleet, calm) => {
    const losses: Loss[] = [];
    for (const [what, event] of cases) {
      const loss = await measure(fleet, calm, { what, event, wanted });
      told(loss);
      losses.push(loss);
    }
    return losses;
  });
}

/**
 * A rollout behind a balancer that tries nothing again and hears late of pods that leave, as those of real clusters may: with the
 * drain delay, and without, which must lose some.
 */
export async function drainDelayLosses(wanted: number, told: (loss: Loss) => void): Promise<Loss[]> {
  const losses: Loss[] = [];
  for (const [what, settings] of [
    ['rolling update', {}],
    ['rolling update, DRAIN_DELAY_MS=0', { DRAIN_DELAY_MS: '0' }],
  ] as const) {
    const loss = await withFleet(settings, { config: withoutRetries, lateMs: 2000 }, (fleet, calm) =>
      measure(fleet, calm, { what, event: rollout, wanted }),
    );
    told(loss);
    losses.push(loss);
  }
  return losses;
}

const withoutRetries = (text: string) =>
  text
    .replace(/^ {2}retry-on .*$/m, '')
    .replace(/^ {2}retries \d+$/m, '  retries 0')
    .replace(/^ {2}option redispatch.*$/m, '  no option redispatch');

async function withFleet<T>(
  settings: Readonly<Record<string, string>>,
  balancer: FleetOptions['balancer'],
  use: (fleet: Fleet, calm: Calm) => Promise<T>,
): Promise<T> {
  const fleet = await Fleet.start({
    overlay: 'cuda',
    network: '10.244.1',
    costs,
    settings,
    prometheus: false,
    ...(balancer && { balancer }),
  });
  try {
    await fleet.scale(replicas);
    await fleet.settled(replicas);
    const faults = await policyFaults(
      fleet.manifests.find(({ kind }) => kind === 'NetworkPolicy'),
      await fleet.pods(),
    );
    if (faults.length > 0) throw new Error(`The NetworkPolicy: ${faults.join('; ')}.`);
    const { url } = fleet.balancer;
    return await use(fleet, {
      digests: await calmDigests(url),
      perSecond: await capacity(url, replicas * fleet.slots),
    });
  } finally {
    await fleet.close();
  }
}

/** Requests per second with all slots taken, after a moment of getting there. */
async function capacity(url: string, clients: number): Promise<number> {
  const load = new Clients(url, clients, () => clients);
  await sleep(10_000);
  const before = load.tally.ok;
  await sleep(20_000);
  const perSecond = (load.tally.ok - before) / 20;
  await load.stop();
  return perSecond;
}

async function measure(
  fleet: Fleet,
  calm: Calm,
  { what, event, wanted }: { what: string; event: Event; wanted: number },
): Promise<Loss> {
  const before = await fleet.balancer.counter('backend_retry_warnings_total');
  const load = new Load(fleet.balancer.url, calm.digests, () => share * calm.perSecond);
  await sleep(5000);
  let times = 0;
  for (; times === 0 || load.tally.sent < wanted; times++) {
    await event(fleet);
    await fleet.settled(replicas);
  }
  const { sent, failed, errors, changed, seconds } = await load.stop();
  const retries = (await fleet.balancer.counter('backend_retry_warnings_total')) - before;
  const [p50, p99] = [quantile(seconds, 0.5), quantile(seconds, 0.99)];
  return { what, times, sent, failed, errors, changed, retries, capacity: calm.perSecond, p50, p99 };
}

async function rollout(fleet: Fleet): Promise<void> {
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
  await fleet.api.merge(fleet.deploymentPath, { spec: { template: { metadata: { annotations } } } });
}

/** The node with the most replicas, as `kubectl drain`: cordoned, and its pods evicted as the budget lets them go. */
async function drain(fleet: Fleet): Promise<void> {
  const all = await fleet.pods();
  const on = (node: string) => all.filter(({ spec }) => spec.nodeName === node);
  const [node] = threeNodes.map(({ name }) => name).sort((a, b) => on(b).length - on(a).length) as [string];
  const path = pathOf('v1/nodes', undefined, node);
  await fleet.api.merge(path, { spec: { unschedulable: true } });
  for (const { metadata } of on(node)) await evict(fleet, metadata.name);
  await fleet.settled(replicas);
  await fleet.api.merge(path, { spec: { unschedulable: false } });
}

async function evict({ api }: Fleet, name: string): Promise<void> {
  const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } };
  for (;;) {
    try {
      await api.ask('POST', `${pathOf('v1/pods', namespace, name)}/eviction`, eviction);
      return;
    } catch (error) {
      // The budget: another time.
      if (!(error instanceof ApiError && error.status === 429)) throw error;
      await sleep(5000);
    }
  }
}

async function scaleDown(fleet: Fleet): Promise<void> {
  await fleet.scale(replicas - 1);
  await fleet.settled(replicas - 1);
  await fleet.scale(replicas);
}

async function kill(fleet: Fleet): Promise<void> {
  const [pod] = await fleet.pods();
  process.kill(fleet.kubelet.processOf(pod.metadata.name)!, 'SIGKILL');
  await sleep(15_000); // its restart, and the requests meanwhile
}
