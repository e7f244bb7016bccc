// What callers of the engine hand in, and what they are told and given.

import type { Img2ImgRequest } from '../../img2img-request.js';
import type { Provider } from '../../model-facts.js';
import type { Pixels } from '../../pixels.js';
import type { EngineErrorCode } from '../shared/errors.js';
import type { ExitReason } from '../shared/faults.js';
import type { Result } from '../shared/messages.js';
import type { CatalogueEntry } from './catalogue.js';

/** One picture to make: an ordinary request of the batch. */
export interface Job {
  readonly model: string;
  readonly request: Img2ImgRequest;
}

/** What is known of a job before its starter is decoded: enough to tell its place and its cost. */
export interface JobOutline {
  readonly model: string;
  readonly request: Omit<Img2ImgRequest, 'pixels'> & { readonly pixels: Pick<Pixels, 'width' | 'height'> };
}

export interface GenerateOptions {
  /** Its reason, an EngineError, is what the promise rejects with; the device stops at the next step. */
  readonly signal: AbortSignal;
  /** When the answer is worth nothing any more, on the clock of performance.now(), ms. */
  readonly deadline?: number;
  /** Who asks, where keys tell callers apart. */
  readonly caller?: string | undefined;
  /** Wants small previews with the progress, from models that can make them. */
  readonly preview?: boolean;
  readonly onProgress?: (progress: Progress) => void;
}

export type Progress =
  /** How many jobs are before the first of this request, itself included, and how long it is likely to wait. */
  | { readonly phase: 'queued'; readonly position: number; readonly estimatedWaitMs: number }
  /** `step` of `steps` is done of the job at index `job`. */
  | {
      readonly phase: 'running';
      readonly job: number;
      readonly step: number;
      readonly steps: number;
      readonly preview?: Pixels;
    };

/** What a request would meet if it came now. */
export interface Estimate {
  readonly waitMs: number;
  readonly durationMs: number;
  /** Of the device, while the request runs; undefined where nothing was measured. */
  readonly memoryBytes: number | undefined;
}

export interface Generated extends Result {
  /** From its admission to a worker. */
  readonly queueMs: number;
  /** From its admission to its picture. */
  readonly totalMs: number;
  /** What equality of bytes can be expected of: runtime and device. */
  readonly fingerprint: string;
  /** Index of the worker that made it. */
  readonly worker: number;
}

export const cancelPhases = ['queued', 'running'] as const;
export const cancelReasons = ['client_gone', 'deadline', 'explicit', 'shutdown'] as const;
export type CancelReason = (typeof cancelReasons)[number];

export interface EngineEvents {
  /** One UNet call. */
  step: [{ model: string; rows: number; ms: number }];
  cancelled: [{ phase: (typeof cancelPhases)[number]; reason: CancelReason }];
  /** A request that was refused. */
  rejected: [{ code: EngineErrorCode }];
  /** What a worker says of the model folders: at its start, and whenever they have changed. */
  models: [readonly CatalogueEntry[]];
  ready: [{ worker: number; device: string; pid: number | undefined; models: readonly CatalogueEntry[] }];
  workerExit: [
    { worker: number; device: string; pid: number | undefined; reason: ExitReason; cause: string; requests: number },
  ];
  /** A request was refused because workers ended each time they ran it. */
  workerKiller: [{ model: string; deaths: number; steps: number; scheduler: string; width: number; height: number }];
  workerLog: [{ device: string; line: string }];
  modelLoaded: [{ worker: number; model: string; component: string; ms: number }];
  promptCache: [{ hits: number; misses: number }];
  /** Resident memory of a worker's process. */
  memory: [{ worker: number; device: string; bytes: number }];
}

export interface EngineStatus {
  readonly ready: boolean;
  /** Why not ready. */
  readonly reason: string | undefined;
  readonly queueDepth: number;
  readonly inFlight: number;
  readonly slots: number;
  readonly queueLimit: number;
  /** How long what has waited longest has waited, ms; 0 when nothing waits. */
  readonly oldestQueuedMs: number;
  /** How long an ordinary request that comes now is likely to wait. */
  readonly estimatedWaitMs: number;
  /** Its version; undefined until a worker has told. */
  readonly onnxruntime: string | undefined;
  readonly workers: readonly {
    device: string;
    provider: Provider;
    pid: number | undefined;
    up: boolean;
    restarts: number;
    memoryBytes: number | undefined;
    /** As GpuReading names it; absent on the CPU. */
    gpu: string | undefined;
    /** What a request may use of its GPU; absent on the CPU, and where nobody tells what is free. */
    gpuBudgetBytes: number | undefined;
  }[];
}
