// The programs that programs.sh has built.

import { homedir } from 'node:os';
import { join } from 'node:path';

export type Program =
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'keda-operator'
  | 'keda-adapter'
  | 'otel-collector'
  /** The definitions of kinds that Kubernetes has not. */
  | 'crds';

const folder = process.env.KUBERNETES_PROGRAMS || join(homedir(), '.cache/img2img-kubernetes');

export const pathOf = (program: Program): string => join(folder, program);
