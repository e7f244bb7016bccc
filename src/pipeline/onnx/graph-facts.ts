// What a component's graph is, told without loading it: its inputs and outputs, how its weights are stored, who can run it.

import { dirname, isAbsolute, join } from 'node:path';
import { checkFile, isThere } from '../folder/files.js';
import { shown } from '../folder/model-folder-error.js';
import { attributeOf } from './attributes.js';
import { dataTypes, GraphFile, type GraphNode, type ValueInfo } from './graph-file.js';
import { checkReadable } from './runtime-limits.js';
import { onlyOnGpus } from './unfuse/index.js';

export interface GraphFacts {
  readonly inputs: ReadonlyMap<string, ValueInfo>;
  readonly outputs: ReadonlyMap<string, ValueInfo>;
  /** Dtypes of the weights as they are stored, as in `dataTypes`; those of small constants left out. */
  readonly weightTypes: ReadonlySet<number>;
  /** What those of half precision take. */
  readonly halfBytes: number;
  /** The same of what they are computed with: weights may be cast before. */
  readonly computes: ReadonlySet<number>;
  /** Operators of onnxruntime's own that its provider for the CPU lacks, and that cannot be rewritten for it. */
  readonly cudaOnly: readonly string[];
  /** How often the graph halves its picture's sides. */
  readonly halvings: number;
  /** What it is read from, and what its weights lie in. */
  readonly files: readonly string[];
  /** The graph draws random numbers, which nothing outside of it can seed. */
  readonly draws: boolean;
}

const drawOperators = ['RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike'];
const weightDataTypes: readonly number[] = [
  dataTypes.float32,
  dataTypes.float16,
  dataTypes.float64,
  dataTypes.bfloat16,
];

const halfTypes: readonly number[] = [dataTypes.float16, dataTypes.bfloat16];

/** Elements. What is smaller may be a table or a scale, which is float32 in graphs of any precision. */
const smallestWeight = 512;

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
    const weights = new Map<string, number>();
    const constants = new Map<string, number>();
    const external = new Map<string, number>();
    let halves = 0;
    for (const { name, dataType, dims, externalData } of graph.initializers()) {
      const elements = dims.reduce((product, side) => product * side, 1);
      if (halfTypes.includes(dataType)) halves += elements;
      if (weightDataTypes.includes(dataType)) (elements < smallestWeight ? constants : weights).set(name, dataType);
      if (!externalData) continue;
      external.set(externalData.location, Math.max(external.get(externalData.location) ?? 0, externalData.end));
      if (external.size > maxExternalFiles)
        throw new RangeError(`it has weights in more than ${maxExternalFiles} files`);
    }
    for (const [location, end] of external) checkExternalData(dirname(path), location, end);
    const floats = weights.size > 0 ? weights : constants;
    return {
      inputs: byName(graph.inputs),
      outputs: byName(graph.outputs),
      weightTypes: new Set(floats.values()),
      halfBytes: 2 * halves,
      computes: computedWith(graph.nodes, floats),
      cudaOnly: onlyOnGpus(graph.nodes),
      halvings: graph.nodes.filter(halvesSides).length,
      files: [path, ...[...external.keys()].map((location) => join(dirname(path), location))],
      draws: graph.nodes.some(({ opType }) => drawOperators.includes(opType)),
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

/** @param weights their dtypes, by name */
function computedWith(nodes: readonly GraphNode[], weights: ReadonlyMap<string, number>): ReadonlySet<number> {
  const types = nodes.flatMap((node) => {
    const own = node.inputs.flatMap((input) => weights.get(input) ?? []);
    return node.opType === 'Cast' && own.length > 0 ? [attributeOf(node, 'to')?.int ?? own[0]!] : own;
  });
  return new Set(types.filter((type) => weightDataTypes.includes(type)));
}

const byName = (values: readonly ValueInfo[]) => new Map(values.map((value) => [value.name, value]));

/** A convolution with a stride of two: how every UNet and VAE of diffusers goes down a resolution level. */
function halvesSides(node: GraphNode): boolean {
  if (node.opType !== 'Conv' && node.opType !== 'NhwcConv') return false;
  const strides = attributeOf(node, 'strides')?.ints ?? [];
  return strides.length > 0 && strides.every((stride) => stride === 2);
}
