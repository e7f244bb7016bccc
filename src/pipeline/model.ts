// A loaded model: its folder's facts, its sessions and its tokenizers.

import type { EncodedPrompt } from './encoded-prompt.js';
import type { ModelFolder } from './folder/model-folder.js';
import { inspectModel } from './inspect-model.js';
import { type DeviceOptions, loadSessions, type Sessions } from './onnx/sessions.js';
import { PromptCache } from './prompt-cache.js';
import type { Tokenize } from './tokenizer.js';

export interface Model {
  readonly folder: ModelFolder;
  readonly sessions: Sessions;
  readonly tokenizers: Readonly<Partial<Record<'tokenizer' | 'tokenizer_2', Tokenize>>>;
  readonly promptCache: PromptCache<EncodedPrompt>;
}

/** 140 prompts of Stable Diffusion 1.x. */
const promptCacheBytes = 32 * 2 ** 20;

/** @throws ModelFolderError with one sentence for whoever put the folder there */
export async function loadModel(path: string, device: DeviceOptions): Promise<Model> {
  const { folder, tokenizers } = inspectModel(path, device.provider);
  const promptCache = new PromptCache<EncodedPrompt>(promptCacheBytes);
  return { folder, tokenizers, promptCache, sessions: await loadSessions(folder, device) };
}

export async function releaseModel({ sessions }: Model): Promise<void> {
  for (const session of Object.values(sessions)) await session.release();
}
