// All of a model but its sessions: what can be known of it without onnxruntime.

import { type ModelFolder, readModelFolder } from './folder/model-folder.js';
import { loadTokenizer, type Tokenize } from './tokenizer.js';

export interface InspectedModel {
  readonly folder: ModelFolder;
  readonly tokenizers: Readonly<Partial<Record<'tokenizer' | 'tokenizer_2', Tokenize>>>;
}

/** @throws ModelFolderError with one sentence for whoever put the model there */
export function inspectModel(path: string, provider: 'cpu' | 'cuda'): InspectedModel {
  const folder = readModelFolder(path, provider);
  const tokenizers = Object.fromEntries(
    folder.textEncoders.map(({ tokenizer, tokenizerSource, maxTokens }) => [
      tokenizer,
      loadTokenizer(tokenizerSource.folder, maxTokens, tokenizerSource.padToken),
    ]),
  );
  return { folder, tokenizers };
}
