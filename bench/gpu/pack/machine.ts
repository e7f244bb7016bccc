// What ask.sh said of a machine.

import { cudaLibraries } from './registries.js';

export interface Machine {
  /** `compute_cap` of its first GPU without the dot; undefined where there is none. */
  readonly architecture: number | undefined;
  /** Versions of onnxruntime's CUDA provider. */
  readonly providers: readonly string[];
  readonly libraries: readonly string[];
}

export function readAnswer(text: string): Machine {
  const lines = text.split('\n').map((line) => line.split(/=(.*)/s) as [string, string?]);
  const valuesOf = (name: string) => lines.flatMap(([key, value]) => (key === name && value ? [value.trim()] : []));
  const capability = valuesOf('gpu')[0]?.split(',')[1]?.trim();
  return {
    architecture: capability && /^\d+\.\d$/.test(capability) ? Number(capability.replace('.', '')) : undefined,
    providers: valuesOf('provider').map((value) => value.split(' ')[0]!),
    libraries: cudaLibraries.filter((library) => valuesOf(library).length > 0),
  };
}

/**
 * What has to be brought.
 * @param machine undefined where it was not asked: its libraries are believed to be there then, its provider is not
 * @param version of onnxruntime
 */
export function missingOf(machine: Machine | undefined, version: string) {
  return {
    provider: !machine?.providers.includes(version),
    libraries: machine ? cudaLibraries.filter((library) => !machine.libraries.includes(library)) : [],
  };
}
