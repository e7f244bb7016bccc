// What a command's PATH means.

import { existsSync } from 'node:fs';
import { findModels } from '../pipeline/folder/find-models.js';
import { ModelsError } from './models-error.js';

/** @param text a path, or a name in MODELS_DIR @throws ModelsError */
export function findModel(modelsDir: string, text: string): string {
  if (existsSync(text)) return text;
  const path = findModels(modelsDir).paths.get(text);
  if (path !== undefined) return path;
  throw new ModelsError(
    `PATH is ${JSON.stringify(text)}, which is neither a path nor the name of a model in ${modelsDir}`,
  );
}
