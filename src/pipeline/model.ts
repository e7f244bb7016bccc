// A loaded model: its folder's facts, its sessions and its tokenizer.

import { join } from 'node:path';
import { type ModelFolder, readModelFolder } from './model-folder.js';
import { type DeviceOptions, loadSessions, type Sessions } from './sessions.js';
import { loadTokenizer, type Tokenize } from './tokenizer.js';

export interface Model {
  readonly folder: ModelFolder;
  readonly sessions: Sessions;
  readonly tokenize: Tokenize;
}

/** @throws ModelFolderError with one sentence for whoever put the folder there */
export async function loadModel(path: string, device: DeviceOptions): Promise<Model> {
  const folder = readModelFolder(path);
  const tokenize = loadTokenizer(join(path, 'tokenizer'), folder.maxTokens);
  return { folder, tokenize, sessions: await loadSessions(folder.graphs, device) };
}
