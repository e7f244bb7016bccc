// A loaded model: its folder's facts, its sessions and its tokenizers.

import type { EmbeddingLibrary } from './embeddings/library.js';
import { type ModelFolder, readModelFolder } from './folder/model-folder.js';
import { type DeviceOptions, loadSessions, type Sessions } from './onnx/sessions.js';
import type { EncodedPrompt } from './prompts/encoded-prompt.js';
import { PromptCache } from './prompts/prompt-cache.js';
import { type ClipTokenizer, loadTokenizer } from './tokenizer.js';

export interface Model {
  readonly folder: ModelFolder;
  readonly sessions: Sessions;
  readonly tokenizers: Readonly<Partial<Record<'tokenizer' | 'tokenizer_2', ClipTokenizer>>>;
  readonly promptCache: PromptCache<EncodedPrompt>;
  /** Textual inversions that prompts may name; absent for none. */
  readonly embeddings?: EmbeddingLibrary | undefined;
}

/** 140 prompts of Stable Diffusion 1.x. */
const promptCacheBytes = 32 * 2 ** 20;

/**
 * All of a model but its sessions: what can be known of it without onnxruntime.
 * @throws ModelFolderError with one sentence for whoever put the folder there
 */
export function inspectModel(path: string, provider: DeviceOptions['provider']): Pick<Model, 'folder' | 'tokenizers'> {
  const folder = readModelFolder(path, provider);
  const tokenizers = Object.fromEntries(
    folder.textEncoders.map(({ tokenizer, tokenizerSource, maxTokens }) => [
      tokenizer,
      loadTokenizer(tokenizerSource.folder, maxTokens, tokenizerSource.padToken),
    ]),
  );
  return { folder, tokenizers };
}

/** @throws ModelFolderError with one sentence for whoever put the folder there */
export async function loadModel(
  path: string,
  device: DeviceOptions,
  embeddings?: EmbeddingLibrary | undefined,
): Promise<Model> {
  const { folder, tokenizers } = inspectModel(path, device.provider);
  const promptCache = new PromptCache<EncodedPrompt>(promptCacheBytes);
  return { folder, tokenizers, promptCache, embeddings, sessions: await loadSessions(folder, device) };
}

export async function releaseModel({ sessions }: Model): Promise<void> {
  for (const session of Object.values(sessions)) await session.release();
}
