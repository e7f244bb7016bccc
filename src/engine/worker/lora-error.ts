import { ModelFolderError } from '../../pipeline/folder/model-folder-error.js';

/** Why LoRAs cannot be used with a model, in a sentence. */
export class LoraError extends ModelFolderError {}

/** Whatever is wrong with a model's LoRAs is not the model's. */
export function asLoraError<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof ModelFolderError) throw new LoraError(error.message);
    throw error;
  }
}
