// What was run in a real control plane, for people (results-kubernetes.md) and for the test that notices changed manifests (.json).

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { pathOf } from '../../k8s/control-plane/programs.js';
import { machine, quantile } from '../engine.js';
import type { Loss } from './losses.js';
import { digestsOf, filesOf } from './manifests.js';
import { plotScaling } from './plot.js';
import { kinds, meanSeconds, stepMs } from './requests.js';
import type { Sample, Scaling } from './scaling.js';

const root = new URL('../../', import.meta.url);
const json = new URL('bench/results-kubernetes.json', root);
const slots = 4;

/** When and with what a part was run. */
export interface Run {
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly programs: Readonly<Record<string, string>>;
  /** sha256 of the files that the outcome depends on. */
  readonly manifests: Readonly<Record<string, string>>;
}

export interface Results {
  readonly losses?: Run & { readonly shipped: readonly Loss[]; readonly drainDelay: readonly Loss[] };
  readonly hpa?: Run & Scaling;
}

export const readResults = (): Results => (existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : {});

/** @param folders of k8s/ whose files the outcome depends on */
export function thisRun(folders: readonly string[]): Run {
  const said = (program: string, ...options: string[]) => execFileSync(program, options, { encoding: 'utf8' });
  return {
    date: new Date().toISOString(),
    commit: said('git', 'rev-parse', '--short', 'HEAD').trim(),
    machine: machine('npm run bench:kubernetes'),
    programs: {
      Kubernetes: /v\S+/.exec(said(pathOf('kube-apiserver'), '--version'))![0],
      etcd: /\d\S+/.exec(said('etcd', '--version'))![0],
      HAProxy: /\d\S+/.exec(said('/usr/sbin/haproxy', '-v'))![0],
      Prometheus: /\d\S+/.exec(said('prometheus', '--version'))![0],
      kustomize: said('kustomize', 'version').trim(),
    },
    manifests: digestsOf([...folders.flatMap((folder) => filesOf(`k8s/${folder}`)), 'k8s/cluster/haproxy.cfg']),
  };
}

/** Adds a part, or puts it in the place of an older one. */
export function save(part: Results): void {
  const results = { ...readResults(), ...part };
  writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(new URL('bench/results-kubernetes.md', root), markdown(results));
  if (results.hpa)
    writeFileSync(
      new URL('docs/autoscaling-kubernetes.svg', root),
      plotScaling(results.hpa.samples, slots, 'The component hpa in a real control plane'),
    );
}

function markdown({ losses, hpa }: Results): string {
  return `# In a real control plane

API server, controllers, scheduler, etcd, HAProxy and Prometheus are the real ones, and so is each replica's process, on the stand-in device. A small kubelet of the bench starts and ends it as the pod's spec says; no container runtime, no network plugin and no NVIDIA device plugin took part.

Requests take 0.2 to ${(Math.max(...kinds.map(({ steps }) => steps)) * stepMs) / 1000} s, ${meanSeconds.toFixed(1)} s in the mean; every other one is JSON, the rest are forms.
${losses ? lossesMarkdown(losses) : ''}${hpa ? hpaMarkdown(hpa) : ''}`;
}

const about = ({ machine, commit, programs }: Run) =>
  `${machine} Commit ${commit}; ${Object.entries(programs)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')}.`;

const failures = (failed: Readonly<Record<string, number>>) =>
  Object.entries(failed)
    .map(([status, count]) => `${count} with ${status === '0' ? 'no answer' : status}`)
    .join(', ') || '0';

function lossesMarkdown(losses: NonNullable<Results['losses']>): string {
  const row = ({ what, times, sent, failed, changed, retries, p50, p99 }: Loss) =>
    `| ${what} | ${times} | ${sent} | ${failures(failed)} | ${changed} | ${retries} | ${p50.toFixed(1)} s | ${p99.toFixed(1)} s |`;
  return `
## What clients lose

${about(losses)}

The overlay \`cuda\`, 4 replicas on three nodes with two GPUs each. Requests come at random moments, at 60 % of the capacity.

| what happens | times | requests | failed at the client | other bytes than in calm | sent again by HAProxy | p50 | p99 |
| --- | --- | --- | --- | --- | --- | --- | --- |
${[...losses.shipped, ...losses.drainDelay].map(row).join('\n')}

The last row must lose some: it shows that the others could have.
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
