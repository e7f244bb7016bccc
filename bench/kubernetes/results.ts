// What was run in a real control plane, when, and with what.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { pathOf } from '../../k8s/control-plane/programs.js';
import { machine } from '../engine.js';
import type { Told } from './gateway.js';
import type { Loss } from './losses.js';
import { digestsOf, filesOf } from './manifests.js';
import type { Placement } from './placement.js';
import type { Scaling } from './scaling.js';
import type { Sleeping } from './sleeping.js';

/** For the test that notices changed manifests. */
export const json = new URL('../results-kubernetes.json', import.meta.url);

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
  readonly gateway?: Run & { readonly told: readonly Told[] };
  readonly placement?: Run & { readonly placements: readonly Placement[] };
  readonly losses?: Run & { readonly shipped: readonly Loss[] };
  readonly drain?: Run & { readonly rollouts: readonly Loss[] };
  readonly hpa?: Run & Scaling;
  readonly keda?: Run & Sleeping;
}

export const readResults = (): Results => (existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : {});

const said = (program: string, ...options: string[]) => execFileSync(program, options, { encoding: 'utf8' });

/** What may take part in a run, and how it tells its version. */
const versions = {
  Kubernetes: () => /v\S+/.exec(said(pathOf('kube-apiserver'), '--version'))![0],
  etcd: () => /\d\S+/.exec(said('etcd', '--version'))![0],
  // It tells none before it has a cluster; its file is called by it.
  KEDA: () => basename(realpathSync(pathOf('keda-operator'))).replace('keda-operator-', ''),
  'Envoy Gateway': () => basename(realpathSync(pathOf('egctl'))).replace('egctl-', ''),
  HAProxy: () => /\d\S+/.exec(said('/usr/sbin/haproxy', '-v'))![0],
  Prometheus: () => /\d\S+/.exec(said('prometheus', '--version'))![0],
  kustomize: () => said('kustomize', 'version').trim(),
};
export type Program = keyof typeof versions;

/**
 * @param folders of k8s/ whose files the outcome depends on
 * @param programs that take part
 */
export function thisRun(folders: readonly string[], programs: readonly Program[]): Run {
  const files = folders.flatMap((folder) => filesOf(`k8s/${folder}`));
  if (programs.includes('HAProxy')) files.push('k8s/cluster/haproxy.cfg');
  return {
    date: new Date().toISOString(),
    commit: said('git', 'rev-parse', '--short', 'HEAD').trim(),
    machine: machine('npm run bench:kubernetes'),
    programs: Object.fromEntries(programs.map((program) => [program, versions[program]()])),
    manifests: digestsOf(files),
  };
}
