import type { GraphNode } from '../graph-file.js';
import type { NodeWriter } from './node-writer.js';

/** How one of onnxruntime's fused operators is written in ONNX's own. */
export interface Unfuser {
  /** `runs`: the CPU's provider has this form; `unknown`: it has not, and nothing here can write it. */
  form(node: GraphNode): 'runs' | 'rewritten' | 'unknown';
  rewrite(node: GraphNode, writer: NodeWriter): void;
}
