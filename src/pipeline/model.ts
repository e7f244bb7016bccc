// A loaded model: its folder's facts, its sessions and its tokenizers.

import type { SafetyMode } from '../model-facts.js';
import type { EmbeddingLibrary } from './embeddings/library.js';
import type { ModelFolder } from './folder/model-folder.js';
import { type InspectedModel, inspectModel } from './inspect-model.js';
import { type ModelBranches, withBranches } from './lora/branches.js';
import type { Folded } from './lora/fold.js';
import { type DeviceOptions, loadSessions, type Session, type Sessions } from './onnx/sessions.js';
import type { EncodedPrompt } from './prompts/encoded-prompt.js';
import { RecentValues } from './recent-values.js';

export interface Model {
  readonly folder: ModelFolder;
  readonly sessions: Sessions;
  readonly tokenizers: InspectedModel['tokenizers'];
  readonly promptCache: RecentValues<EncodedPrompt>;
  /** What the VAE's encoder gave for starters, before anything is drawn of it. */
  readonly starterCache: RecentValues<Float32Array>;
  /** Has its text encoders loaded for as long as prompts are encoded; absent where they stay. */
  readonly aroundEncoding?: <T>(encoders: readonly Session[], encode: () => Promise<T>) => Promise<T>;
  /** Textual inversions that prompts may name; absent for none. */
  readonly embeddings?: EmbeddingLibrary | undefined;
  /** Of a model with LoRAs: the one that it was made from, whose sessions it shares where they leave a graph as it is. */
  readonly base?: Model;
  /** LoRAs that run beside its weights; those in its weights are told by nothing but `base`. */
  readonly branches?: ModelBranches;
  /** Keys of its LoRAs that the model has no place for. */
  readonly unusedLoraKeys?: number;
}

/** What runs at each step. */
export const denoiserOf = ({ folder, sessions }: Pick<Model, 'folder' | 'sessions'>): Session =>
  sessions[folder.family.denoiser]!;

/** 140 prompts of Stable Diffusion 1.x. */
const promptCacheBytes = 32 * 2 ** 20;
/** 64 starters of 512 x 512 for a VAE with 4 channels. */
const starterCacheBytes = 8 * 2 ** 20;

/** @throws ModelFolderError with one sentence for whoever put the folder there */
export async function loadModel(
  path: string,
  device: DeviceOptions,
  embeddings?: EmbeddingLibrary | undefined,
  safety?: SafetyMode | undefined,
): Promise<Model> {
  const { folder: read, tokenizers } = inspectModel(path, device.provider, safety);
  // Elsewhere their matrices would be copied to the device at every call, which nobody has measured.
  const folder = device.provider === 'cpu' ? withBranches(read) : read;
  const promptCache = new RecentValues<EncodedPrompt>(promptCacheBytes);
  const starterCache = new RecentValues<Float32Array>(starterCacheBytes);
  return { folder, tokenizers, promptCache, starterCache, embeddings, sessions: await loadSessions(folder, device) };
}

/**
 * The same model with LoRAs in its weights. It needs `base`, and is to be released before it.
 * @throws ModelFolderError when its graphs do not load
 */
export async function loadFolded(
  base: Model,
  { folder, graphs, unusedKeys }: Folded,
  device: DeviceOptions,
): Promise<Model> {
  const own = await loadSessions({ graphs }, device);
  const promptCache = new RecentValues<EncodedPrompt>(promptCacheBytes);
  return { ...base, folder, sessions: { ...base.sessions, ...own }, promptCache, base, unusedLoraKeys: unusedKeys };
}

/** The same model with LoRAs beside its weights: it shares all sessions, and is not to be released. */
export const branchedModel = (base: Model, branches: ModelBranches, unusedLoraKeys: number): Model => ({
  ...base,
  base,
  branches,
  unusedLoraKeys,
});

/** These run once for a picture, and take most of what a picture takes. */
const oncePerPicture = ['vae_encoder', 'vae_decoder', 'safety_checker'] as const;

/** Those that keep what pictures have taken, though none has run for so long, ms. */
export const rested = ({ sessions }: Model, ms: number): Session[] =>
  oncePerPicture.flatMap((component) => sessions[component] ?? []).filter((session) => session.hasRested(ms));

export async function releaseModel({ sessions, base }: Model): Promise<void> {
  const shared = Object.values(base?.sessions ?? {});
  for (const session of Object.values(sessions)) if (!shared.includes(session)) await session.release();
}
