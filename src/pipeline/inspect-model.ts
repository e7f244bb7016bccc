// All of a model but its sessions: what can be known of it without onnxruntime.

import type { Provider, SafetyMode } from '../model-facts.js';
import type { TokenizerName } from './folder/components.js';
import { type ModelFolder, readModelFolder } from './folder/model-folder.js';
import { ModelFolderError } from './folder/model-folder-error.js';
import { UnsupportedSchedulerError } from './schedulers/schedule.js';
import { loadT5Tokenizer } from './t5-tokenizer.js';
import { loadTokenizer, type PromptTokenizer } from './tokenizer.js';

export interface InspectedModel {
  readonly folder: ModelFolder;
  readonly tokenizers: Readonly<Partial<Record<TokenizerName, PromptTokenizer>>>;
}

/**
 * @param safety as ReadingOptions has it
 * @throws ModelFolderError with one sentence for whoever put the model there
 */
export function inspectModel(path: string, provider: Provider, safety?: SafetyMode): InspectedModel {
  return withTokenizers(readModelFolder(path, provider, undefined, safety && { safety }));
}

/** @throws ModelFolderError when a tokenizer is missing or broken */
export function withTokenizers(folder: ModelFolder): InspectedModel {
  const tokenizers = Object.fromEntries(
    folder.textEncoders.map(({ language, tokenizer, tokenizerSource: { folder: from, padToken }, maxTokens }) => [
      tokenizer,
      language === 't5' ? loadT5Tokenizer(from, maxTokens) : loadTokenizer(from, maxTokens, padToken),
    ]),
  );
  return { folder, tokenizers };
}

/** Why a model cannot run, in one sentence: whatever is wrong with it is the model's. */
export function reasonOf(error: unknown): string {
  const expected = error instanceof ModelFolderError || error instanceof UnsupportedSchedulerError;
  const message = String(error instanceof Error ? error.message : error).split('\n')[0]!;
  return expected ? message : `it cannot be read: ${message}`;
}
