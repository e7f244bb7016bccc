// `inspect`: all that the loader decides about a model, and why.

import { decisionsOf } from '../pipeline/folder/decisions.js';
import { bytesOnDisk } from '../pipeline/folder/folder-digest.js';
import { openSource } from '../pipeline/folder/model-folder.js';
import { inspectModel, reasonOf } from '../pipeline/inspect-model.js';
import { readManifest } from './manifest.js';
import { ModelsError } from './models-error.js';
import { inBytes, type Output, table } from './output.js';

/** @throws ModelsError with the sentence of a model that cannot run */
export function inspect(path: string, provider: 'cpu' | 'cuda', json: boolean, output: Output): void {
  const facts = factsOf(path, provider);
  const manifest = readManifest(path);
  const { name, decisions, parts, diskBytes, weightBytes } = facts;
  const pulled = manifest && { repository: manifest.repository, commit: manifest.commit, license: manifest.license };
  if (json) {
    output.print(JSON.stringify({ name, path, decisions, parts, diskBytes, weightBytes, pulled }, undefined, 2));
    return;
  }
  const told = (value: unknown) =>
    value === null ? '-' : value === true ? 'yes' : value === false ? 'no' : String(value);
  output.print(`${name}: ${inBytes(diskBytes)} on the disk, ${inBytes(weightBytes)} of weights in memory\n`);
  output.print(
    table([['WHAT', 'VALUE', 'FROM'], ...decisions.map(({ what, value, from }) => [what, told(value), from])]),
  );
  output.print('');
  output.print(
    table([
      ['PART', 'FORMAT', 'FILE', 'WEIGHTS', 'COMPUTES IN', 'FROM'],
      ...parts.map((each) => [
        ...[each.part, each.format, each.file, each.weights.join(', ')],
        ...[each.computes, each.computesFrom],
      ]),
    ]),
  );
  if (pulled)
    output.print(
      `\npulled from ${pulled.repository} at commit ${pulled.commit}, licence: ${pulled.license ?? 'none named'}`,
    );
}

function factsOf(path: string, provider: 'cpu' | 'cuda') {
  try {
    const { folder } = inspectModel(path, provider);
    const source = openSource(path);
    return {
      name: folder.name,
      decisions: decisionsOf(source, folder),
      parts: folder.parts,
      diskBytes: bytesOnDisk(path),
      weightBytes: folder.weightBytes.all,
    };
  } catch (error) {
    throw new ModelsError(`${path} cannot run: ${reasonOf(error)}`);
  }
}
