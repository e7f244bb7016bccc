// Which model a request means.

import { EngineError } from './errors.js';
import type { BrokenModel, ModelInfo } from './messages.js';

/**
 * The model of that name, or the first that runs.
 * @throws EngineError model_not_found, model_not_runnable
 */
export function findModel(catalogue: readonly (ModelInfo | BrokenModel)[], name?: string): ModelInfo {
  const runnable = catalogue.filter((model) => model.runnable);
  const found = name === undefined ? runnable[0] : catalogue.find((model) => model.name === name);
  if (found?.runnable) return found;
  if (found) throw new EngineError('model_not_runnable', `The model ${found.name} cannot run: ${found.reason}.`);
  if (name === undefined) throw new EngineError('model_not_runnable', 'No model in this server can run.');
  const known = runnable.map((model) => model.name).join(', ');
  throw new EngineError('model_not_found', `There is no model ${JSON.stringify(name)}; there are: ${known}.`);
}
