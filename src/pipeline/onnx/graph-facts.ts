// What a component's graph is, told without loading it: its inputs and outputs, how its weights are stored, who can run it.

import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { dataTypes, GraphFile, type GraphNode, type ValueInfo } from './graph-file.js';
import { fieldsOf, read, text } from './wire.js';

export interface GraphFacts {
  readonly inputs: ReadonlyMap<string, ValueInfo>;
  readonly outputs: ReadonlyMap<string, ValueInfo>;
  /** Dtypes of the weights, as in `dataTypes`; those of counts and shapes left out. */
  readonly weightTypes: ReadonlySet<number>;
  /** Operators of onnxruntime's own that only its CUDA provider has. */
  readonly cudaOnly: readonly string[];
  /** How often the graph halves its picture's sides. */
  readonly halvings: number;
}

/** Made by onnxruntime's optimizer for Stable Diffusion; its CPU provider has no kernels for them. */
const cudaOnlyOperators = ['GroupNorm', 'SkipGroupNorm', 'NhwcConv', 'BiasSplitGelu', 'BiasAdd'];
const weightDataTypes: readonly number[] = [dataTypes.float32, dataTypes.float16, dataTypes.float64];

/** @throws RangeError, whose message says what is wrong with the file or the weights beside it */
export function graphFacts(path: string): GraphFacts {
  const graph = GraphFile.open(path);
  try {
    const weightTypes = new Set<number>();
    const external = new Map<string, number>();
    for (const { dataType, externalData } of graph.initializers()) {
      if (weightDataTypes.includes(dataType)) weightTypes.add(dataType);
      if (!externalData) continue;
      external.set(externalData.location, Math.max(external.get(externalData.location) ?? 0, externalData.end));
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
    };
  } finally {
    graph.close();
  }
}

function checkExternalData(folder: string, location: string, end: number): void {
  const path = join(folder, location);
  if (!existsSync(path)) throw new RangeError(`its weights ${location} are missing`);
  const { size } = statSync(path);
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
    const strides = fields
      .filter((field) => field.number === 8)
      .flatMap(({ kind, value, bytes: packed }) => (kind === 'varint' ? [Number(value)] : [...read(packed)]));
    return strides.length > 0 && strides.every((stride) => stride === 2);
  });
}
