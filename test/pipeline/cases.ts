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
  readonly true_guidance?: number;
  /** left, top, right, bottom of what is repainted */
  readonly box?: readonly [number, number, number, number];
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
  trueGuidance: c.true_guidance,
  steps: c.steps,
  scheduler: c.scheduler,
  seed: c.seed,
});

/** The same, with what is outside of the case's box kept. */
export function maskedRequestOf(c: Case): Img2ImgRequest {
  const request = requestOf(c);
  if (!c.box) return request;
  const [left, top, right, bottom] = c.box;
  const mask = new Uint8Array(c.width * c.height);
  for (let y = top; y < bottom; y++) mask.fill(255, y * c.width + left, y * c.width + right);
  return { ...request, mask };
}

/** Of a sample, on average, of 255. */
export const distance = (a: Uint8Array, b: Uint8Array): number =>
  a.reduce((sum, sample, i) => sum + Math.abs(sample - b[i]!), 0) / a.length;

/** How far the samples that are not the starter's are from diffusers'. */
export function differencesFrom(pixels: string, data: Uint8Array, { mask }: Img2ImgRequest): number[] {
  const expected = Buffer.from(pixels, 'base64');
  return [...expected].flatMap((sample, i) => (mask?.[Math.floor(i / 3)] === 0 ? [] : [Math.abs(data[i]! - sample)]));
}

/** The share of samples that are diffusers' to 1 of 255. */
export const closeShare = (all: readonly number[]): number => all.filter((each) => each <= 1).length / all.length;

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
