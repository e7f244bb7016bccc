// Pictures of which a mask leaves nothing to repaint: the starter is the answer, and nothing is computed.

import type { Engine, Estimate, Generated, GenerateOptions, Job } from '../../engine/host/engine.js';

export function isUntouched({ request: { mask } }: Job): boolean {
  return mask?.every((value) => value === 0) ?? false;
}

/** As the engine's, one result per job; only those that change something run. @throws EngineError */
export async function generate(engine: Engine, jobs: readonly Job[], options: GenerateOptions): Promise<Generated[]> {
  const running = jobs.map((_, index) => index).filter((index) => !isUntouched(jobs[index]!));
  const results = jobs.map(starterOf);
  if (running.length === 0) return results;
  const { onProgress } = options;
  const made = await engine.generate(
    running.map((index) => jobs[index]!),
    onProgress
      ? {
          ...options,
          onProgress: (progress) =>
            onProgress(progress.phase === 'running' ? { ...progress, job: running[progress.job]! } : progress),
        }
      : options,
  );
  for (const [i, index] of running.entries()) results[index] = made[i]!;
  return results;
}

export function estimate(engine: Engine, jobs: readonly Job[]): Estimate {
  const running = jobs.filter((job) => !isUntouched(job));
  return running.length > 0 ? engine.estimate(running) : { waitMs: 0, durationMs: 0, memoryBytes: 0 };
}

function starterOf({ request }: Job): Generated {
  return {
    pixels: request.pixels,
    drawUnseeded: false,
    droppedTokens: { prompt: 0, negativePrompt: 0 },
    beyondClip: { prompt: 0, negativePrompt: 0 },
    embeddings: { used: [], unfit: [] },
    unetCalls: 0,
    unusedLoraKeys: 0,
    loraWay: 'none',
    timings: { textEncode: 0, vaeEncode: 0, denoise: 0, vaeDecode: 0, safetyCheck: 0 },
    modelRunMs: 0,
    modelLoadMs: 0,
    totalMs: 0,
    queueMs: 0,
    fingerprint: 'none',
    worker: 0,
  };
}
