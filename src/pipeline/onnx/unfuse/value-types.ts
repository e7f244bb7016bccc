// The types of a graph's values, as far as they follow from its inputs and weights: a file need not say them.

import { attributeOf } from '../attributes.js';
import { dataTypes, type GraphFile, type GraphNode } from '../graph-file.js';
import { fieldsOf } from '../wire.js';

const bool = 9;
const fixed: Readonly<Record<string, number>> = {
  ...Object.fromEntries(['Shape', 'Size', 'ArgMax', 'ArgMin', 'NonZero'].map((op) => [op, dataTypes.int64])),
  ...Object.fromEntries(
    ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Not', 'And', 'Or', 'IsNaN'].map((op) => [op, bool]),
  ),
};

/** @returns value -> type, as in `dataTypes` */
export function valueTypes(graph: GraphFile): ReadonlyMap<string, number> {
  const types = new Map(graph.inputs.map(({ name, dataType }) => [name, dataType]));
  for (const { name, dataType } of graph.initializers()) types.set(name, dataType);
  for (const node of graph.nodes) {
    const type = outputType(node, types);
    if (type !== undefined) for (const output of node.outputs) types.set(output, type);
  }
  return types;
}

/** Of its first output; an operator without a rule has the type of its first input, as most have. */
function outputType(node: GraphNode, types: ReadonlyMap<string, number>): number | undefined {
  const { opType, inputs } = node;
  if (opType === 'Cast') return attributeOf(node, 'to')?.int;
  if (opType === 'Constant' || opType === 'ConstantOfShape') {
    const tensor = attributeOf(node, 'value')?.tensor;
    const type = tensor && [...fieldsOf(tensor)].find(({ number }) => number === 2)?.value;
    return type === undefined ? undefined : Number(type);
  }
  if (opType in fixed) return fixed[opType];
  return types.get(inputs[opType === 'Where' ? 1 : 0] ?? '');
}
