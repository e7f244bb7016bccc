// The tensors that a graph is written over, by the names that diffusers and transformers give them.

import { ModelFolderError } from '../folder/model-folder-error.js';
import { type Dtype, dtypeBytes, type TensorPlace } from '../safetensors/header.js';
import type { WeightChange, WeightChanges } from './low-rank.js';

/** What graphs compute with; the other dtypes are counts, or need scales that the file does not explain. */
export const floats: readonly Dtype[] = ['F32', 'F16', 'BF16', 'F64'];

export class Weights {
  private readonly unused: Set<string>;

  /** @param changes of LoRAs */
  constructor(
    private readonly tensors: ReadonlyMap<string, TensorPlace>,
    private readonly changes: WeightChanges = new Map(),
  ) {
    this.unused = new Set(tensors.keys());
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  changesOf(name: string): readonly WeightChange[] {
    return this.changes.get(name) ?? [];
  }

  /** The shape of a tensor that may be absent. */
  shapeOf(name: string): readonly number[] | undefined {
    return this.tensors.get(name)?.shape;
  }

  /**
   * @param shape that it must have; sides of 1 at its end do not count, as a 1 x 1 convolution is a linear layer
   * @throws ModelFolderError when the tensor is missing, or another one
   */
  take(name: string, shape: readonly number[]): TensorPlace {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new ModelFolderError(`its weights ${name} are missing`);
    if (!floats.includes(tensor.dtype)) {
      throw new ModelFolderError(
        `its weights ${name} are ${tensor.dtype}, which is not supported (supported: ${floats.join(', ')})`,
      );
    }
    if (withoutOnes(tensor.shape) !== withoutOnes(shape)) {
      throw new ModelFolderError(`its weights ${name} are [${tensor.shape}], and the architecture wants [${shape}]`);
    }
    this.unused.delete(name);
    return { ...tensor, shape };
  }

  /** @throws ModelFolderError for weights that the architecture did not use, so that nothing of a model is dropped in silence */
  checkAllUsed(ignored: RegExp): void {
    const left = [...this.unused].filter((name) => !ignored.test(name));
    if (left.length === 0) return;
    throw new ModelFolderError(
      `it has ${left.length} weights that its architecture does not use, ${left[0]} among them: it is another model than its config says`,
    );
  }
}

const withoutOnes = (shape: readonly number[]) => shape.join(' ').replace(/( 1)+$/, '');

/** Some rows of a matrix or vector, which lie together in the file. */
export function rowsOf(tensor: TensorPlace, start: number, count: number): TensorPlace {
  const [rows = 1, ...rest] = tensor.shape;
  const rowBytes = tensor.length / rows;
  if (start + count > rows || dtypeBytes[tensor.dtype] * rest.reduce((a, b) => a * b, 1) !== rowBytes) {
    throw new RangeError(`rows ${start} to ${start + count} of [${tensor.shape}]`);
  }
  return { ...tensor, shape: [count, ...rest], offset: tensor.offset + start * rowBytes, length: count * rowBytes };
}
