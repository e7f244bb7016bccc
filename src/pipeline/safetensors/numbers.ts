// The elements of a tensor, where the service itself has to know them: a model's weights stay in their files.

import { readSync } from 'node:fs';
import { fromHalf } from '../numbers/half.js';
import type { TensorPlace } from './header.js';

/** @param descriptor of the tensor's file @throws RangeError for what is no float, or cut off */
export function numbersOf(descriptor: number, { dtype, offset, length }: TensorPlace): Float32Array {
  const bytes = new Uint8Array(length);
  if (readSync(descriptor, bytes, 0, length, offset) !== length) throw new RangeError('the file is cut off');
  switch (dtype) {
    case 'F32':
      return new Float32Array(bytes.buffer);
    case 'F64':
      return Float32Array.from(new Float64Array(bytes.buffer));
    case 'F16':
      return fromHalf(new Uint16Array(bytes.buffer));
    case 'BF16':
      return new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (bits) => bits << 16).buffer);
    default:
      throw new RangeError(`a tensor of ${dtype}`);
  }
}
