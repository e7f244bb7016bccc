// A graph that gives what it takes: what shows whether onnxruntime runs anything at all. Field numbers from onnx.proto3.

import { dataTypes, encodeNode, encodeValueInfo } from './graph-file.js';
import { bytesField, encodeMessage, varintField } from './wire.js';

/** Any version that onnxruntime 1.30 reads. */
const [irVersion, opset] = [8, 17];

export function smallestGraph(): Uint8Array {
  const value = (name: string) => encodeValueInfo({ name, dataType: dataTypes.float32, shape: [1] });
  const graph = encodeMessage([
    bytesField(1, encodeNode({ inputs: ['x'], outputs: ['y'], opType: 'Identity', domain: '', rest: [] })),
    bytesField(2, 'smallest'),
    bytesField(11, value('x')),
    bytesField(12, value('y')),
  ]);
  return encodeMessage([
    varintField(1, irVersion),
    bytesField(7, graph),
    bytesField(8, encodeMessage([varintField(2, opset)])),
  ]);
}
