// A loaded model: its folder's facts, its sessions and its tokenizer.

import { join } from 'node:path';
import type { EncodedPrompt } from './img2img.js';
import { type ModelFolder, readModelFolder } from './model-folder.js';
import { PromptCache } from './prompt-cache.js';
import { type DeviceOptions, loadSessions, type Sessions } from './sessions.js';
import { loadTokenizer, type Tokenize } from './tokenizer.js';

export interface Model {
  readonly folder: ModelFolder;
  readonly sessions: Sessions;
  readonly tokenize: Tokenize;
  readonly promptCache: PromptCache<EncodedPrompt>;
}

/** 140 prompts of Stable Diffusion 1.x. */
const promptCacheBytes = 32 * 2 ** 20;

/** @throws ModelFolderError with one sentence for whoever put the folder there */
export async function loadModel(path: string, device: DeviceOptions): Promise<Model> {
  const folder = readModelFolder(path);
  const tokenize = loadTokenizer(join(path, 'tokenizer'), folder.maxTokens);
  const promptCache = new PromptCache<EncodedPrompt>(promptCacheBytes);
  return { folder, tokenize, promptCache, sessions: await loadSessions(folder.graphs, device) };
}
