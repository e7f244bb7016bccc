// Small changes to a graph that exporters left out: one timestep per row, a seeded draw inside the VAE's encoder, and vectors in
// the place of tokens' embeddings.
// The patched graph goes into a cache outside the model folder; all weights stay where they are.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { writeWhole } from './graph-cache.js';
import { dataTypes, GraphFile, type GraphNode } from './graph-file.js';
import { fieldsOf, read, text } from './wire.js';

/**
 * Inputs of a text encoder for textual inversions, in the shape of the ids and one more: [..., 1], which is 0 where a token's
 * embedding gives way and else 1, and [..., width], what comes there and else 0.
 */
export const tokenInputs = { kept: 'token_kept', vectors: 'token_vectors' } as const;

/** Name of the input that a patched VAE encoder takes its draw from, shaped as its output. */
export const noiseInput = 'img2img_noise';

/** Changes a graph; false when it does not know the pattern and has changed nothing. */
type Patch = (graph: GraphFile) => boolean;

const patches = { perRowTimestep, noiseAsInput, tokenVectorsAsInput } satisfies Record<string, Patch>;
/** Part of a cached file's name: a change of a patch makes new files. */
const version = 3;

export interface PatchedGraph {
  readonly path: string;
  /** What its weights are looked up in. */
  readonly weightsFolder: string;
}

/**
 * The patched graph, made at its first use.
 * @param path of the graph; it and the weights beside it may be links, as those of a Hugging Face cache
 * @returns undefined when the graph does not have the pattern
 */
export function patched(path: string, patch: keyof typeof patches, cacheDir: string): PatchedGraph | undefined {
  const { size, mtimeMs } = statSync(path);
  const beside = realFiles(dirname(path));
  const weightsFolder = commonFolder([...beside.values()]);
  const key = createHash('sha256')
    .update([version, patch, realpathSync(path), size, mtimeMs, ...beside.values()].join('\0'))
    .digest('hex');
  const target = join(cacheDir, `${key.slice(0, 32)}.onnx`);
  if (existsSync(target)) return { path: target, weightsFolder };
  const graph = GraphFile.open(path);
  try {
    if (!patches[patch](graph)) return undefined;
    // onnxruntime follows no link out of the folder of weights: they are named by where they are.
    const locate = (location: string) => relative(weightsFolder, realpathSync(join(dirname(path), location)));
    writeWhole(target, (file) => graph.write(file, basename(path), locate));
    return { path: target, weightsFolder };
  } finally {
    graph.close();
  }
}

/** Where the files of a folder are, by name. */
function realFiles(folder: string): Map<string, string> {
  const files = readdirSync(folder, { withFileTypes: true }).filter(
    (entry) => entry.isFile() || entry.isSymbolicLink(),
  );
  const names = files.map(({ name }) => name).filter((name) => existsSync(join(folder, name)));
  return new Map(names.map((name) => [name, realpathSync(join(folder, name))]));
}

/** The innermost folder that all of these files lie in. */
function commonFolder([first, ...others]: readonly string[]): string {
  let folder = dirname(first!);
  while (!others.every((file) => file.startsWith(folder === '/' ? folder : `${folder}${sep}`)))
    folder = dirname(folder);
  return folder;
}

/**
 * A timestep that is a scalar, or one for all rows, becomes one per row. Exporters start with
 * timestep -> [Cast] -> Unsqueeze -> … Expand to the rows of the sample; without the Unsqueeze that takes [rows] as well.
 */
function perRowTimestep(graph: GraphFile): boolean {
  const timestep = graph.inputs.find(({ name }) => name === 'timestep');
  if (!timestep?.shape) return false;
  if (typeof timestep.shape[0] === 'string') return false; // exported so
  if (timestep.shape.length === 0) {
    const unsqueeze = onlyConsumer(graph, 'timestep', ['Cast', 'Identity'], 'Unsqueeze');
    if (!unsqueeze) return false;
    unsqueeze.opType = 'Identity';
    unsqueeze.inputs.length = 1;
    unsqueeze.rest = [];
  } else if (timestep.shape.length !== 1) return false;
  const rows = graph.inputs.find(({ name }) => name === 'sample')?.shape?.[0];
  timestep.shape = [typeof rows === 'string' && rows !== '' ? rows : 'batch_size'];
  graph.dropInnerShapes();
  return true;
}

/** The one consumer of a value, through nodes that keep its shape. */
function onlyConsumer(graph: GraphFile, value: string, through: string[], wanted: string): GraphNode | undefined {
  const consumers = graph.nodes.filter(({ inputs }) => inputs.includes(value));
  const [node] = consumers;
  if (!node || consumers.length > 1) return undefined;
  if (node.opType === wanted) return node;
  return through.includes(node.opType) ? onlyConsumer(graph, node.outputs[0]!, through, wanted) : undefined;
}

/** `latent_sample` encoders draw inside the graph, where nothing can seed it: the draw becomes an input. */
function noiseAsInput(graph: GraphFile): boolean {
  const draws = graph.nodes.filter(({ opType }) => opType === 'RandomNormalLike' || opType === 'RandomNormal');
  const [draw] = draws;
  const output = graph.outputs[0];
  if (!draw || draws.length > 1 || !output) return false;
  draw.opType = 'Identity';
  draw.inputs = [noiseInput];
  draw.rest = [];
  graph.inputs.push({ name: noiseInput, dataType: output.dataType, shape: ['batch_size', '', '', ''] });
  graph.dropInnerShapes();
  return true;
}

/** What the ids look up in the vocabulary's table is kept or replaced. */
function tokenVectorsAsInput(graph: GraphFile): boolean {
  const ids = graph.inputs.find(({ name }) => name === 'input_ids');
  if (ids?.shape?.length !== 2 || graph.inputs.length > 1) return false;
  const found = lookUp(graph);
  if (!found) return false;
  const { gather, dataType, width } = found;
  const embedded = gather.outputs[0]!;
  const [looked, kept] = ['img2img_looked_up', 'img2img_kept'] as const;
  gather.outputs = [looked];
  const node = (opType: string, inputs: string[], output: string): GraphNode => ({
    ...{ opType, inputs, outputs: [output], domain: '', rest: [] },
  });
  graph.nodes.splice(
    graph.nodes.indexOf(gather) + 1,
    0,
    node('Mul', [looked, tokenInputs.kept], kept),
    node('Add', [kept, tokenInputs.vectors], embedded),
  );
  graph.inputs.push(
    { name: tokenInputs.kept, dataType, shape: [...ids.shape, 1] },
    { name: tokenInputs.vectors, dataType, shape: [...ids.shape, width] },
  );
  return true;
}

/** Where the ids, as they are or in another shape or type, choose rows of a table of floats. */
function lookUp(graph: GraphFile): { gather: GraphNode; dataType: number; width: number } | undefined {
  const tables = new Map(
    [...graph.initializers()]
      .filter(({ dataType, dims }) => floats.includes(dataType) && dims.length === 2)
      .map(({ name, dataType, dims }) => [name, { dataType, width: dims[1]! }]),
  );
  const ids = new Set(['input_ids']);
  for (const node of graph.nodes) {
    const [first = '', second = ''] = node.inputs;
    const table = tables.get(first);
    if (node.opType === 'Cast' && table) tables.set(node.outputs[0]!, { ...table, dataType: castsTo(node) });
    if (['Cast', 'Reshape', 'Identity'].includes(node.opType) && ids.has(first)) ids.add(node.outputs[0]!);
    if (node.opType === 'Gather' && table && floats.includes(table.dataType) && ids.has(second)) {
      return { gather: node, ...table };
    }
  }
  return undefined;
}

const floats: readonly number[] = [dataTypes.float32, dataTypes.float16];

/** AttributeProto { 1 name, 3 i } */
function castsTo({ rest }: GraphNode): number {
  const attributes = rest.filter(({ number }) => number === 5).map(({ bytes }) => [...fieldsOf(read(bytes))]);
  const to = attributes.find((fields) => fields.some(({ number, bytes }) => number === 1 && text(bytes) === 'to'));
  return Number(to?.find(({ number }) => number === 3)?.value ?? 0n);
}
