// What was run in a real control plane, for people.

import { quantile } from '../engine.js';
import { isAsWanted, type Told } from './gateway.js';
import type { Loss } from './losses.js';
import type { Placement } from './placement.js';
import { kinds, meanSeconds, stepMs } from './requests.js';
import type { Results, Run } from './results.js';
import type { Sample } from './scaling.js';

export function markdown({ gateway, placement, losses, drain, hpa, keda }: Results): string {
  return `# In a real control plane

API server, controllers, scheduler, etcd, HAProxy and Prometheus are the real ones, and so is each replica's process, on the stand-in device. A small kubelet of the bench starts and ends it as the pod's spec says; no container runtime, no network plugin and no NVIDIA device plugin took part.

Requests take 0.2 to ${(Math.max(...kinds.map(({ steps }) => steps)) * stepMs) / 1000} s, ${meanSeconds.toFixed(1)} s in the mean; every other one is JSON, the rest are forms.
${gateway ? gatewayMarkdown(gateway) : ''}${placement ? placementMarkdown(placement) : ''}${losses ? lossesMarkdown(losses) : ''}${drain ? drainMarkdown(drain) : ''}${hpa ? hpaMarkdown(hpa) : ''}${keda ? kedaMarkdown(keda) : ''}`;
}

const about = ({ machine, commit, programs }: Run) =>
  `${machine} Commit ${commit}; ${Object.entries(programs)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')}.`;

const failures = (failed: Readonly<Record<string, number>>) =>
  Object.entries(failed)
    .map(([status, count]) => `${count} with ${status === '0' ? 'no answer' : status}`)
    .join(', ') || '0';

function gatewayMarkdown(gateway: NonNullable<Results['gateway']>): string {
  const said = (value: unknown) => (value === null ? 'nothing' : `\`${JSON.stringify(value)}\``);
  const row = (told: Told) =>
    `| ${told.what} | ${said(told.told)} | ${isAsWanted(told) ? 'yes' : `no: ${said(told.wanted)}`} |`;
  return `
## What Envoy is told

${about(gateway)}

The overlay \`gateway\`, translated by Envoy Gateway's own code (\`egctl x translate\`) to what its controller would tell Envoy. Envoy itself did not run.

| | told | as the manifests say |
| --- | --- | --- |
${gateway.told.map(row).join('\n')}
`;
}

function placementMarkdown(placement: NonNullable<Results['placement']>): string {
  const row = ({ overlay, device, replicas, placed, pending }: Placement) =>
    `| \`${overlay}\` | ${device ? `\`${device}\`` : 'none'} | ${replicas} | ${Object.values(placed).join(' + ') || 0} | ${pending.join('; ')} |`;
  return `
## Where replicas are put

${about(placement)}

Three nodes with two \`nvidia.com/gpu\` and three \`nvidia.com/mig-2g.20gb\` each, and the taint of NVIDIA's operator; one replica more than fits, and none of the overlay \`cpu\`, whose pods do not tolerate the taint. No process runs here.

| overlay | asks for | replicas | on the nodes | what the scheduler says of the one that is Pending |
| --- | --- | --- | --- | --- |
${placement.placements.map(row).join('\n')}
`;
}

function lossesTable(losses: readonly Loss[]): string {
  const row = ({ what, times, sent, failed, changed, retries, p50, p99 }: Loss) =>
    `| ${what} | ${times} | ${sent} | ${failures(failed)} | ${changed} | ${retries} | ${p50.toFixed(1)} s | ${p99.toFixed(1)} s |`;
  return `| what happens | times | requests | failed at the client | other bytes than in calm | sent again by HAProxy | p50 | p99 |
| --- | --- | --- | --- | --- | --- | --- | --- |
${losses.map(row).join('\n')}`;
}

function lossesMarkdown(losses: NonNullable<Results['losses']>): string {
  return `
## What clients lose

${about(losses)}

The overlay \`cuda\`, 4 replicas on three nodes with two GPUs each. Requests come at random moments, at 60 % of the capacity.

${lossesTable(losses.shipped)}
`;
}

function drainMarkdown(drain: NonNullable<Results['drain']>): string {
  return `
## What the drain delay is for

${about(drain)}

The same behind an HAProxy that sends nothing again and hears of pods that leave two seconds late, as balancers of real clusters may; its checks of \`/readyz\` go on. The last row must lose some: it shows that the others could have.

${lossesTable(drain.rollouts)}
`;
}

function hpaMarkdown(hpa: NonNullable<Results['hpa']>): string {
  const changes = changesOf(hpa.samples).map(
    ({ at, clients, wanted, ready }) => `| ${(at / 60).toFixed(1)} min | ${clients} | ${wanted} | ${ready} |`,
  );
  const starts = startsOf(hpa.samples);
  return `
## The component hpa: up and down

${about(hpa)}

The overlay \`hpa\` with the shipped windows. The custom and the external metrics API are the bench's, with prometheus-adapter's own queries. Clients ask one request after another, so as many are on their way as there are clients.

| after | clients | wanted | ready |
| --- | --- | --- | --- |
${changes.join('\n')}

${hpa.sent} requests, failed: ${failures(hpa.failed)}; p50 ${hpa.p50.toFixed(1)} s, p99 ${hpa.p99.toFixed(1)} s. From a replica that is wanted to one that is ready: ${starts.map((seconds) => `${seconds.toFixed(0)} s`).join(', ')}${starts.length > 0 ? ` (median ${quantile(starts, 0.5).toFixed(0)} s)` : ''}.
`;
}

function kedaMarkdown(keda: NonNullable<Results['keda']>): string {
  const clock = (seconds: number) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
  const events = keda.events.map(({ what, at }) => `| ${clock(at)} | ${what} |`);
  const [fresh, asleep] = keda.wakes.map(
    ({ refused, seconds }) => `${refused} answers of 503 and ${seconds.toFixed(0)} s until its picture`,
  );
  return `
## KEDA: Prometheus away, asleep, woken

${about(keda)}

The overlay \`scale-to-zero\` with the shipped windows; only the address of Prometheus is another one. One client asks one request after another, and comes again after a 503 when its \`Retry-After\` says so.

| min:s | what happened |
| --- | --- |
${events.join('\n')}

While Prometheus was away and before: ${keda.away.sent} requests, failed: ${failures(keda.away.failed)}. The client that woke the new fleet had ${fresh}; the one that woke it from sleep had ${asleep}.
`;
}

/** The samples at which the replicas, wanted or ready, are others than before. */
export function changesOf(samples: readonly Sample[]): Sample[] {
  return samples.filter((sample, i) => {
    const before = samples[i - 1];
    return sample.wanted !== before?.wanted || sample.ready !== before?.ready;
  });
}

/** s from each growth of the wanted replicas to that many being ready. */
export function startsOf(samples: readonly Sample[]): number[] {
  return samples.flatMap((sample, i) => {
    if (i === 0 || sample.wanted <= samples[i - 1]!.wanted) return [];
    const ready = samples.slice(i).find((later) => later.ready >= sample.wanted);
    return ready ? [ready.at - sample.at] : [];
  });
}
