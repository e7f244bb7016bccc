// The programs that programs.sh has built.

import { execFileSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type Program =
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'keda-operator'
  | 'keda-adapter'
  | 'otel-collector'
  /** Envoy Gateway's command. */
  | 'egctl'
  /** The definitions of kinds that Kubernetes has not. */
  | 'crds';

const folder = process.env.KUBERNETES_PROGRAMS || join(homedir(), '.cache/img2img-kubernetes');

export const pathOf = (program: Program): string => join(folder, program);

/** Where it is not there yet. */
export function buildProgram(program: Program): void {
  execFileSync(fileURLToPath(new URL('programs.sh', import.meta.url)), [folder, program], { stdio: 'inherit' });
}
