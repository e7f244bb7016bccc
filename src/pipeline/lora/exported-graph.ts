// LoRAs in a graph that was exported. Its node says which module a weight belongs to: torch's exporter with scripts (optimum, diffusers'
// script) calls it `/down_blocks.0/attentions.0/transformer_blocks.0/attn1/to_q/MatMul`, while the weight of a linear layer may be
// renamed and lie transposed. Without constant folding the weight has kept torch's own name, `down.1.attention.to_q.weight`, which
// tells for other architectures too. The changed graph points into the export's own files and those of the LoRAs.

import { realpathSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ModelFolderError } from '../folder/model-folder-error.js';
import { commonFolder, GraphWriter } from '../graphs/graph-writer.js';
import { changed, type WeightChanges } from '../graphs/low-rank.js';
import { attributeOf } from '../onnx/attributes.js';
import { dataTypes, GraphFile, type GraphNode, type Initializer, widthOf } from '../onnx/graph-file.js';
import type { ChangedGraph } from '../onnx/sessions.js';

interface ExportedWeight {
  /** As torch has it. */
  readonly shape: readonly number[];
  readonly transposed: boolean;
  readonly dataType: number;
  /** In the graph. */
  readonly name: string;
  readonly taker: GraphNode;
}

const floats: readonly number[] = [dataTypes.float32, dataTypes.float16];
/** Nodes between a weight and what takes it. */
const mostBetween = 4;

/** The weights that modules have in an export, by the names that diffusers gives them; none where nodes do not tell. */
export function exportedWeights(path: string): ReadonlyMap<string, Pick<ExportedWeight, 'shape'>> {
  const graph = GraphFile.open(path);
  try {
    return weightsIn(graph);
  } finally {
    graph.close();
  }
}

/** @param path of the export; its `over` throws a ModelFolderError where it cannot be changed */
export function changedExport(path: string, changes: WeightChanges): ChangedGraph {
  const graph = GraphFile.open(path);
  try {
    const bytes = [...graph.initializers()].map(({ dims, dataType }) =>
      dims.reduce((a, b) => a * b, widthOf(dataType)),
    );
    return {
      path,
      weightBytes: bytes.reduce((a, b) => a + b, 0),
      over({ path: patched, weightsFolder }) {
        try {
          return written(patched, weightsFolder, changes);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          throw new ModelFolderError(`its exported graph cannot be changed: ${error.message}`);
        }
      },
    };
  } finally {
    graph.close();
  }
}

function written(path: string, weightsFolder: string, changes: WeightChanges): { bytes: Uint8Array; folder: string } {
  const graph = GraphFile.open(path);
  try {
    const weights = weightsIn(graph);
    const g = new GraphWriter('fp32', 'img2img_lora_');
    for (const [name, all] of changes) {
      const weight = weights.get(name);
      if (!weight) throw new RangeError(`${name} is another operator's as it is rewritten for this device`);
      const { taker, transposed, dataType, shape, name: own } = weight;
      const turned = (value: string) => (transposed ? g.node('Transpose', [value], { perm: [1, 0] }) : value);
      const half = dataType === dataTypes.float16;
      const plain = turned(half ? g.node('Cast', [own], { to: dataTypes.float32 }) : own);
      const sum = turned(all.reduce((value, change) => changed(g, value, shape, change), plain));
      const value = half ? g.node('Cast', [sum], { to: dataType }) : sum;
      taker.inputs = taker.inputs.map((input) => (input === own ? value : input));
    }
    const beside = (location: string) => realpathSync(join(weightsFolder, location));
    const itself = relative(weightsFolder, realpathSync(path));
    const locations = [...graph.initializers()].flatMap(({ externalData }) => externalData?.location ?? []);
    const folder = commonFolder([...new Set([itself, ...locations])].map(beside).concat(g.files));
    const { nodes, initializers } = g.fragment(folder);
    graph.add(nodes, initializers);
    return { bytes: graph.bytes(itself, (location) => relative(folder, beside(location))), folder };
  } finally {
    graph.close();
  }
}

function weightsIn(graph: GraphFile): ReadonlyMap<string, ExportedWeight> {
  const sources = new Sources(graph);
  const weights = new Map<string, ExportedWeight>();
  for (const node of graph.nodes) {
    const found = sources.of(node);
    const module = found && (moduleOf(graph.nameOf(node)) ?? ownName.exec(found.name)?.[1]);
    const turned = found && liesTransposed(node, found.turns);
    if (!found || module === undefined || turned === undefined || weights.has(`${module}.weight`)) continue;
    const { name, dims, dataType, taker } = found;
    const shape = turned ? dims.toReversed() : dims;
    weights.set(`${module}.weight`, { name, dataType, taker, transposed: turned, shape });
  }
  return weights;
}

/** Whether a weight lies otherwise than torch keeps it; undefined for what is no weight of a layer. */
function liesTransposed(node: GraphNode, turns: number): boolean | undefined {
  if (node.opType === 'Conv') return turns === 0 ? false : undefined;
  if (node.opType === 'MatMul') return turns % 2 === 0;
  return node.opType === 'Gemm' ? (turns + (attributeOf(node, 'transB')?.int ?? 0)) % 2 === 0 : undefined;
}

/** From a node back to the weight that it takes, perhaps through a Transpose or a Cast. */
class Sources {
  private readonly stored: ReadonlyMap<string, Initializer>;
  private readonly between: ReadonlyMap<string, GraphNode>;
  private readonly uses = new Map<string, number>();

  constructor(graph: GraphFile) {
    const all = [...graph.initializers()].filter(({ dataType, dims }) => floats.includes(dataType) && dims.length >= 2);
    this.stored = new Map(all.map((each) => [each.name, each]));
    const between = graph.nodes.filter(({ opType }) => opType === 'Transpose' || opType === 'Cast');
    this.between = new Map(between.map((node) => [node.outputs[0]!, node]));
    for (const { inputs } of graph.nodes) {
      for (const input of inputs) this.uses.set(input, (this.uses.get(input) ?? 0) + 1);
    }
  }

  /** undefined for what it shares with others: it cannot be changed for one of them. */
  of(node: GraphNode): (Initializer & { readonly taker: GraphNode; readonly turns: number }) | undefined {
    let [taker, value, turns] = [node, node.inputs[1] ?? '', 0];
    for (let hops = 0; hops < mostBetween; hops++) {
      if (this.uses.get(value) !== 1) return undefined;
      const weight = this.stored.get(value);
      if (weight) return { ...weight, taker, turns };
      const next = this.between.get(value);
      if (!next) return undefined;
      if (next.opType === 'Transpose') turns++;
      [taker, value] = [next, next.inputs[0] ?? ''];
    }
    return undefined;
  }
}

/** What a module's path begins with in diffusers; before it there may be what a model was wrapped in. */
const path =
  /(?:^|\/)((?:down_blocks|mid_block|up_blocks|conv_in|conv_out|time_embedding|add_embedding|text_model|text_projection)\b.*)\/[^/]+$/;

/** `/mid_block/attentions.0/proj_in/Conv` -> mid_block.attentions.0.proj_in */
const moduleOf = (name: string): string | undefined => path.exec(name)?.[1]?.replaceAll('/', '.');

/** torch's, and what an export that halves weights makes of it. */
const ownName = /^([a-z_][\w.]*\.[\w.]+)\.weight(?:_float16)?$/i;
