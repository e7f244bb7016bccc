// What the tests against diffusers share: the cases of test/reference, and how one of them is run.

import { fileURLToPath } from 'node:url';
import type { Img2ImgRequest } from '../../src/img2img-request.js';
import { decode, denoise, type Generation, isDone, prepare } from '../../src/pipeline/img2img.js';
import type { Model } from '../../src/pipeline/model.js';
import type { SchedulerName } from '../../src/pipeline/schedulers/index.js';
import type { Pixels } from '../../src/pixels.js';

/** As the scripts in test/reference write them. */
export interface Case {
  readonly scheduler: SchedulerName;
  readonly steps: number;
  readonly strength: number;
  readonly guidance: number;
  /** Of models that take one. */
  readonly image_guidance?: number;
  readonly prompt: string;
  readonly negative_prompt?: string;
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  /** RGB bytes in base64. */
  readonly pixels: string;
}

/** A file or folder in test/reference. */
export const reference = (path: string) => fileURLToPath(new URL(`../reference/${path}`, import.meta.url));

/** The starter that the scripts draw. */
function starter(width: number, height: number): Pixels {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const rgb = [Math.floor((x * 255) / width), Math.floor((y * 255) / height), (x * y) % 256];
      data.set(rgb, 3 * (y * width + x));
    }
  }
  return { data, width, height };
}

export const requestOf = (c: Case): Img2ImgRequest => ({
  pixels: starter(c.width, c.height),
  prompt: c.prompt,
  negativePrompt: c.negative_prompt ?? '',
  strength: c.strength,
  guidanceScale: c.guidance,
  imageGuidance: c.image_guidance,
  steps: c.steps,
  scheduler: c.scheduler,
  seed: c.seed,
});

/** Runs requests together to their ends. */
export async function generate(
  model: Model,
  requests: readonly Img2ImgRequest[],
): Promise<{ pixels: Pixels; generation: Generation }[]> {
  const generations = await prepare(model, requests);
  for (;;) {
    const running = generations.filter((generation) => !isDone(generation));
    if (running.length === 0) break;
    await denoise(model, running);
  }
  const pictures = await decode(model, generations);
  return pictures.map((pixels, i) => ({ pixels, generation: generations[i]! }));
}
