// What crosses the process boundary between the HTTP process and a worker. Plain data; pictures as raw RGB bytes.

import type { Img2ImgRequest, Timings } from '../../img2img-request.js';
import type {
  EmbeddingInfo,
  Kind,
  LoraFamily,
  NamedEmbeddings,
  PartFacts,
  Precision,
  Provider,
  RequestDefaults,
  RequestRules,
  SafetyMode,
  SizeRange,
  Vocabulary,
} from '../../model-facts.js';
import type { SchedulerName } from '../../pipeline/schedulers/index.js';
import type { SchedulerConfig } from '../../pipeline/schedulers/schedule.js';
import type { Pixels } from '../../pixels.js';
import type { Capacity, MemoryNeed } from './capacity.js';

/** A folder's digest, and the stamp of sizes and times that it was made at. */
export interface FolderDigest {
  readonly stamp: string;
  readonly digest: string;
}

/** What a worker knows of one model folder. */
export interface ModelInfo {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly kind: Kind;
  /** Whose habits the graphs show. */
  readonly exporter: string;
  readonly precision: Precision;
  readonly parts: readonly PartFacts[];
  /** The folder beside it that lends its text encoders. */
  readonly textEncodersOf?: string;
  readonly rules: RequestRules;
  readonly license: string | null;
  /** Absent where the folder names none. */
  readonly vocabulary?: Vocabulary;
  readonly runnable: true;
  readonly loaded: boolean;
  /** sha256 over the folder. */
  readonly digest: string;
  readonly stamp: string;
  readonly size: SizeRange;
  readonly defaults: RequestDefaults & { readonly scheduler: SchedulerName };
  /** What this server changed of it, in one sentence without its end. */
  readonly note?: string;
  readonly schedulerConfig: SchedulerConfig;
  /** Of the LoRAs that it takes; null where it takes none, as its exported UNet does not tell its modules. */
  readonly loraFamily: LoraFamily | null;
  /** Whether it comes with one. */
  readonly safetyChecker: boolean;
  /** What the worker measured when it loaded the model; absent until then. */
  readonly capacities?: readonly Capacity[];
  readonly memoryNeeds?: readonly MemoryNeed[];
  /** What a UNet call takes more that has another shape than the one before, ms; absent where that was not measured. */
  readonly changeMs?: number;
}

/** A folder that cannot run, and why. */
export interface BrokenModel {
  readonly name: string;
  readonly runnable: false;
  readonly reason: string;
  /** Its files are being written: it is read again when they stand still. */
  readonly changing?: boolean;
}

/** What a worker knows of one LoRA, by the name of its file. */
export interface LoraInfo {
  readonly name: string;
  readonly runnable: true;
  readonly family: LoraFamily;
  /** The largest of its layers. */
  readonly rank: number;
  readonly triggerWords: readonly string[];
  /** sha256 of the file. */
  readonly digest: string;
  readonly stamp: string;
}

/** A file that cannot be used, and why. */
export interface BrokenLora {
  readonly name: string;
  readonly runnable: false;
  readonly reason: string;
}

export type LoraEntry = LoraInfo | BrokenLora;

/** How LoRAs ran: beside the weights, or in them. */
export const loraWays = ['none', 'branched', 'folded'] as const;
export type LoraWay = (typeof loraWays)[number];

export interface Result {
  readonly pixels: Pixels;
  /** The VAE's encoder drew by itself: the seed does not decide all of the picture. */
  readonly drawUnseeded: boolean;
  /** Tokens of the prompts that did not fit the text encoder. */
  readonly droppedTokens: { readonly prompt: number; readonly negativePrompt: number };
  readonly beyondClip: { readonly prompt: number; readonly negativePrompt: number };
  /** Textual inversions that the prompts name. */
  readonly embeddings: NamedEmbeddings;
  readonly unetCalls: number;
  /** Keys of its LoRAs that the model has no place for. */
  readonly unusedLoraKeys: number;
  readonly loraWay: LoraWay;
  /** Whether the model's safety checker flags the picture, which is black then where such are kept back; absent where none looked. */
  readonly flagged?: boolean;
  /** What it waited on the worker for models to be loaded, ms. */
  readonly modelLoadMs: number;
  readonly timings: Timings;
  /** Time inside model runs while the request was on the device, ms; all the rest is overhead. */
  readonly modelRunMs: number;
}

export interface StartMessage {
  readonly type: 'start';
  readonly modelsDir: string;
  readonly embeddingsDir: string;
  /** DEFAULT_MODEL, which is loaded first; absent where none is named. */
  readonly defaultModel: string | undefined;
  readonly lorasDir: string;
  readonly cacheDir: string;
  readonly provider: Provider;
  /** As GpuReading names it; absent on the CPU. */
  readonly gpu: string | undefined;
  readonly threads: number;
  /** Whether the row budget is to be measured: nobody has said how many requests share the steps. */
  readonly measureRows: boolean;
  /** Bytes of weights that may be loaded at the same time; a single larger model is loaded all the same, but for its limits. */
  readonly modelMemoryBytes: number;
  /** Bytes beyond which a model is refused; absent where there is no limit, or nobody knows it. */
  readonly weightLimits: { readonly machine: number | undefined; readonly budget: number | undefined };
  readonly safety: SafetyMode;
  /** As ModelStore.preload takes it. */
  readonly preload: 'auto' | readonly string[];
  /** Of one request: a model's default is never more. */
  readonly maxSteps: number | undefined;
  /** Address of a module that puts another device in the place of the worker's own. */
  readonly module: string | undefined;
  /** Digests of folders that did not change since, by name: hashing gigabytes takes long. */
  readonly digests: Readonly<Record<string, FolderDigest>>;
  /** The same of LoRAs. */
  readonly loraDigests: Readonly<Record<string, FolderDigest>>;
}
export interface GenerateMessage {
  readonly type: 'generate';
  readonly id: number;
  readonly model: string;
  readonly request: Img2ImgRequest;
  /** Whether anybody listens to its steps, and looks at previews of them. */
  readonly wantsProgress: boolean;
  readonly preview: boolean;
}
export type ToWorker =
  | StartMessage
  | GenerateMessage
  | { readonly type: 'abort'; readonly id: number }
  /** At the model folders, now. */
  | { readonly type: 'look' };

export type FromWorker =
  /** All models and LoRAs, at the start and whenever the folders have changed. */
  | {
      readonly type: 'models';
      readonly models: readonly (ModelInfo | BrokenModel)[];
      readonly loras: readonly LoraEntry[];
      readonly onnxruntime: string;
      /** Why there are none. */
      readonly problem: string | undefined;
    }
  /** All textual inversions, at the start and whenever their folder has changed. */
  | { readonly type: 'embeddings'; readonly embeddings: readonly EmbeddingInfo[] }
  | { readonly type: 'ready' }
  /** What is known of one model has changed: it was loaded for its first request, or does not load. */
  | { readonly type: 'model'; readonly model: ModelInfo | BrokenModel }
  /** One LoRA was read that was new or had changed: should this worker end, the next one is spared to hash it. */
  | { readonly type: 'lora'; readonly lora: LoraEntry }
  /** What it begins to do, and whether that may take long: until the next message nothing can be heard of it. */
  | { readonly type: 'busy'; readonly doing: 'load' | 'run' | 'nothing' }
  /** One step of requests that share it; pixels are those of one picture. */
  | {
      readonly type: 'step';
      readonly model: string;
      readonly pixels: number;
      readonly rows: number;
      readonly ms: number;
      /** Whether it took longer because the shape of calls changed. */
      readonly changedShape: boolean;
    }
  | { readonly type: 'modelLoaded'; readonly model: string; readonly component: string; readonly ms: number }
  | { readonly type: 'promptCache'; readonly hits: number; readonly misses: number }
  /** Resident memory of its process, and what its device can still give where the HTTP process cannot know that. */
  | { readonly type: 'memory'; readonly bytes: number; readonly freeBytes?: number | undefined }
  /** Last words: it ends now. */
  | { readonly type: 'fatal'; readonly reason: 'oom' | 'execution_provider'; readonly message: string }
  /** A request took a step; only for those that want to know. */
  | {
      readonly type: 'progress';
      readonly id: number;
      readonly progress: { readonly step: number; readonly steps: number; readonly preview?: Pixels };
    }
  | { readonly type: 'done'; readonly id: number; readonly result: Result }
  /** The one request failed; the worker goes on. */
  | {
      readonly type: 'failed';
      readonly id: number;
      readonly code:
        | 'internal'
        | 'model_not_runnable'
        | 'model_changing'
        | 'lora_not_runnable'
        | 'too_large_for_device';
      readonly message: string;
    }
  | { readonly type: 'aborted'; readonly id: number };
