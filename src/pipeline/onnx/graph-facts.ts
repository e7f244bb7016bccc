// What a component's graph is, told without loading it: its inputs and outputs, how its weights are stored, who can run it.

import { dirname, isAbsolute, join } from 'node:path';
import { checkFile, isThere } from '../folder/files.js';
import { shown } from '../folder/model-folder-error.js';
import { dataTypes, GraphFile, type GraphNode, type ValueInfo } from './graph-file.js';
import { checkReadable } from './runtime-limits.js';
import { fieldsOf, read, text, varintsOf } from './wire.js';

export interface GraphFacts {
  readonly inputs: ReadonlyMap<string, ValueInfo>;
  readonly outputs: ReadonlyMap<string, ValueInfo>;
  /** Dtypes of the weights, as in `dataTypes`; those of counts and shapes left out. */
  readonly weightTypes: ReadonlySet<number>;
  /** Operators of onnxruntime's own that only its CUDA provider has. */
  readonly cudaOnly: readonly string[];
  /** How often the graph halves its picture's sides. */
  readonly halvings: number;
  /** What it is read from, and what its weights lie in. */
  readonly files: readonly string[];
}

/** Made by onnxruntime's optimizer for Stable Diffusion; its CPU provider has no kernels for them. */
const cudaOnlyOperators = ['GroupNorm', 'SkipGroupNorm', 'NhwcConv', 'BiasSplitGelu', 'BiasAdd'];
const weightDataTypes: readonly number[] = [dataTypes.float32, dataTypes.float16, dataTypes.float64];

/** Files of weights beside a graph. */
const maxExternalFiles = 10_000;

/** @throws RangeError or ModelFolderError, whose message says what is wrong with the file or the weights beside it */
export function graphFacts(path: string): GraphFacts {
  const graph = GraphFile.open(path);
  try {
    const { irVersion, opsets, functionDomains } = graph;
    checkReadable({
      ...{ irVersion, opsets, functionDomains },
      domains: new Set(graph.nodes.map(({ domain }) => domain)),
    });
    const weightTypes = new Set<number>();
    const external = new Map<string, number>();
    for (const { dataType, externalData } of graph.initializers()) {
      if (weightDataTypes.includes(dataType)) weightTypes.add(dataType);
      if (!externalData) continue;
      external.set(externalData.location, Math.max(external.get(externalData.location) ?? 0, externalData.end));
      if (external.size > maxExternalFiles)
        throw new RangeError(`it has weights in more than ${maxExternalFiles} files`);
    }
    for (const [location, end] of external) checkExternalData(dirname(path), location, end);
    return {
      inputs: byName(graph.inputs),
      outputs: byName(graph.outputs),
      weightTypes,
      cudaOnly: cudaOnlyOperators.filter((op) =>
        graph.nodes.some(({ opType, domain }) => opType === op && domain === 'com.microsoft'),
      ),
      halvings: graph.nodes.filter(halves).length,
      files: [path, ...[...external.keys()].map((location) => join(dirname(path), location))],
    };
  } finally {
    graph.close();
  }
}

function checkExternalData(folder: string, location: string, end: number): void {
  if (isAbsolute(location) || location.split(/[\\/]/).includes('..')) {
    throw new RangeError(`its weights ${shown(location)} would lie outside of its folder`);
  }
  if (Number.isNaN(end)) throw new RangeError(`it does not say in numbers where in ${location} its weights are`);
  if (!isThere(folder, location)) throw new RangeError(`its weights ${location} are missing`);
  const { size } = checkFile(folder, location);
  if (size < end) throw new RangeError(`its weights ${location} are truncated: ${size} bytes of at least ${end}`);
}

const byName = (values: readonly ValueInfo[]) => new Map(values.map((value) => [value.name, value]));

/** A convolution with a stride of two: how every UNet and VAE of diffusers goes down a resolution level. */
function halves({ opType, rest }: GraphNode): boolean {
  if (opType !== 'Conv' && opType !== 'NhwcConv') return false;
  return rest.some(({ number, bytes }) => {
    if (number !== 5) return false; // attribute
    const fields = [...fieldsOf(read(bytes))];
    const name = fields.find((field) => field.number === 1);
    if (!name || text(name.bytes) !== 'strides') return false;
    const strides = fields.filter((field) => field.number === 8).flatMap((field) => [...varintsOf(field)]);
    return strides.length > 0 && strides.every((stride) => stride === 2n);
  });
}
