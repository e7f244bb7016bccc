// What is wrong with each manifest by itself: by the API's schema, and by its types.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Manifest } from '../manifests.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const here = fileURLToPath(new URL('.', import.meta.url));

/** The packages that describe the API, for `missing`. */
export const apiPackages = { path: 'test/operations/api/node_modules', install: 'npm ci --prefix test/operations/api' };

const packages: Record<string, string> = {
  'keda.sh': '@kubernetes-models/keda/keda.sh',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator/monitoring.coreos.com',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api/gateway.networking.k8s.io',
  'gateway.envoyproxy.io': '@kubernetes-models/envoy-gateway/gateway.envoyproxy.io',
};

/** The package's path that describes this API version. */
function modelsOf({ apiVersion }: Manifest): string {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  return `${packages[group] ?? `kubernetes-models${group && `/${group}`}`}/${version}`;
}

/** What the API's own schema refuses: wrong types, quantities, missing fields. It lets unknown fields pass. */
export async function schemaFaults(manifests: readonly Manifest[]): Promise<string[]> {
  const faults: string[] = [];
  for (const manifest of manifests) {
    const models = await import(modelsOf(manifest));
    try {
      new models[manifest.kind](manifest).validate();
    } catch (error) {
      faults.push(`${manifest.kind}: ${(error as Error).message}`);
    }
  }
  return faults;
}

/** What the compiler says of the manifests as typed literals: unknown fields and words too. */
export function typeFaults(manifests: readonly Manifest[]): string[] {
  // Beside node_modules, where the compiler finds the packages.
  const folder = mkdtempSync(`${here}manifests-`);
  try {
    return compilerFaults(manifests, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function compilerFaults(manifests: readonly Manifest[], folder: string): string[] {
  const lines = manifests.flatMap((manifest, i) => [
    `import type { I${manifest.kind} as I${i} } from '${modelsOf(manifest)}';`,
    `export const ${manifest.kind.toLowerCase()}${i}: I${i} = ${JSON.stringify(manifest, null, 2)};`,
  ]);
  writeFileSync(`${folder}/manifests.ts`, lines.join('\n'));
  writeFileSync(
    `${folder}/tsconfig.json`,
    JSON.stringify({
      compilerOptions: {
        strict: true,
        module: 'nodenext',
        target: 'es2023',
        skipLibCheck: true,
        noEmit: true,
        types: [],
      },
      files: ['manifests.ts'],
    }),
  );
  const { status, stdout, stderr } = spawnSync(
    'env', // without tap's loaders, which tsc does not survive
    ['-u', 'NODE_OPTIONS', `${root}node_modules/.bin/tsc`, '--pretty', 'false', '-p', folder],
    { encoding: 'utf8' },
  );
  const faults = stdout.split('\n').filter((line) => line.includes(': error TS'));
  if (status !== 0 && faults.length === 0) throw new Error(`tsc ended with ${status}: ${stderr}${stdout}`);
  return faults;
}
