// The programs that programs.sh has built.

import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type Program =
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'keda'
  | 'keda-adapter'
  /** The definitions of kinds that Kubernetes has not. */
  | 'crds';

const folder = process.env.KUBERNETES_PROGRAMS || join(homedir(), '.cache/img2img-kubernetes');
const script = fileURLToPath(new URL('programs.sh', import.meta.url));

export const pathOf = (program: Program): string => join(folder, program);

/** For `missing` of test/programs.ts: what has to be built, and how. */
export const built = (program: Program) => ({ path: pathOf(program), install: `${script} ${folder} ${program}` });

export const isBuilt = (program: Program): boolean => existsSync(pathOf(program));
