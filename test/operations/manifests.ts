// What kustomize makes of k8s/overlays.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const overlays = readdirSync(`${root}k8s/overlays`);

// biome-ignore lint/suspicious/noExplicitAny: YAML has the shape that the checks look for
export type Manifest = any;

/** The manifests of one overlay, in kustomize's order. */
export function build(overlay: string): Manifest[] {
  const { status, stdout, stderr } = spawnSync('kustomize', ['build', `${root}k8s/overlays/${overlay}`], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return parseAllDocuments(stdout).map((document) => document.toJS());
}

export const only = (manifests: readonly Manifest[], kind: string): Manifest =>
  manifests.find((manifest) => manifest.kind === kind);

/** The settings that the container starts with. */
export function settings(manifests: readonly Manifest[]): Record<string, string> {
  const configMap = manifests.find(
    ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('img2img-settings'),
  );
  return configMap.data;
}

/** Seconds of a Go duration of one unit: 15s, 5m. */
export function seconds(duration: string): number {
  const [, count, unit] = /^(\d+)(s|m|h)$/.exec(duration)!;
  return Number(count) * { s: 1, m: 60, h: 3600 }[unit as 's' | 'm' | 'h'];
}
