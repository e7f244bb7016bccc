// `verify`: are a model's files those that a pull checked?

import { byDigest } from './differences.js';
import { readManifest } from './manifest.js';
import { ModelsError } from './models-error.js';
import type { Output } from './output.js';

/** @throws ModelsError when they are not, or nothing says what they should be */
export async function verify(path: string, signal: AbortSignal, output: Output): Promise<void> {
  const manifest = readManifest(path);
  if (!manifest) throw new ModelsError(`${path} has no manifest: only what \`pull\` wrote can be verified`);
  const differences = await byDigest(path, manifest, signal);
  const lines = (['missing', 'changed', 'extra'] as const).flatMap((kind) =>
    differences[kind].map((file) => `${kind}: ${file}`),
  );
  const { repository, commit, files } = manifest;
  if (lines.length === 0) {
    output.print(`${path}: ${files.length} files as ${repository} has them at commit ${commit.slice(0, 12)}`);
    return;
  }
  for (const line of lines) output.print(line);
  throw new ModelsError(`${path} is not as ${repository} has it at commit ${commit.slice(0, 12)}`);
}
