// img2img in three parts: prepare, denoise (one UNet call at a time), decode. Arrays in, arrays out.
// Source: diffusers, pipeline_stable_diffusion_img2img.py; the order of random draws (VAE, noise, noise of each step) is part of it.
// Where we differ: a strength that rounds to no step takes the VAE round trip. UNet calls take the rows of many requests.

import { guidanceRows, type RowKind } from '../guidance.js';
import type { Img2ImgRequest, Timings } from '../img2img-request.js';
import type { NamedEmbeddings } from '../model-facts.js';
import type { Pixels } from '../pixels.js';
import type { Model } from './model.js';
import { guide } from './numbers/guide.js';
import { inpaintingChannels, type Known, keepKnown, latentMask, pureNoise, restoreStarter } from './numbers/mask.js';
import { TorchGenerator } from './numbers/noise.js';
import { type EncodedPrompt, zerosLike } from './prompts/encoded-prompt.js';
import { encodePrompts, type Prompt } from './prompts/prompts.js';
import { createSchedule } from './schedulers/index.js';
import type { Scheduler, SchedulerConfig } from './schedulers/schedule.js';
import { type Condition, guidanceEmbedding, runUnet, sharesTimestep, timeIds } from './unet.js';
import { decodeLatents, drawIsSeeded, encodeStarters, type Starter } from './vae.js';

/** A request's state on the device. */
export interface Generation {
  readonly request: Img2ImgRequest;
  readonly scheduler: Scheduler;
  /** Goes on where the first noise ended: for schedulers that add noise at each step. */
  readonly generator: TorchGenerator;
  readonly shape: readonly [channels: number, height: number, width: number];
  /** The rows that it takes in a UNet call: negative prompt and prompt, or the prompt alone where nothing is guided. */
  readonly conditions: readonly Condition[];
  readonly droppedTokens: { readonly prompt: number; readonly negativePrompt: number };
  /** Textual inversions that its prompts name. */
  readonly embeddings: NamedEmbeddings;
  /** The VAE's encoder drew its sample by itself, so that the seed does not decide all of the picture. */
  readonly drawUnseeded: boolean;
  readonly timings: Timings;
  /** Of a masked request with an ordinary UNet. */
  readonly known: Known | undefined;
  /** What an inpainting UNet gets beside the latents. */
  readonly inpainting: Float32Array | undefined; // [1 + channels, height, width]
  latents: Float32Array; // [channels, height, width]
  /** Position in the scheduler's timesteps; done when it reaches their end. */
  index: number;
  unetCalls: number;
}

export function isDone(generation: Generation): boolean {
  return generation.index >= generation.scheduler.timesteps.length;
}

/** Rows that a generation takes in a UNet call. */
export function rowsOf(generation: Generation): number {
  return generation.conditions.length;
}

/**
 * Encodes prompts and starters, and noises the latents to where their schedules begin.
 * @param requests with starters of one size: they share a call of each encoder
 */
export async function prepare(model: Model, requests: readonly Img2ImgRequest[]): Promise<Generation[]> {
  const { family, schedulerConfig } = model.folder;
  const start = performance.now();
  const prompts = await encodePrompts(
    model,
    requests.map((request) => guidanceRows(request, family).map((row) => promptOf(request, row))),
  );
  const textEncode = performance.now() - start;

  const begun = requests.map((request) => ({
    request,
    schedule: createSchedule(request, schedulerConfig, family.latentConsistency),
    generator: new TorchGenerator(request.seed),
  }));
  const starters = begun.map(({ request, schedule, generator }) => ({
    pixels: request.pixels,
    generator: schedule.stepsRun === 0 ? undefined : generator,
  }));
  const seen = starters.filter((_, i) => !beginsWithNoise(model, requests[i]!));
  const encoded = seen.length > 0 ? await encodeStarters(model, seen) : [];
  const latents = starters.map((starter) => encoded[seen.indexOf(starter)]);
  const noises = starters.map(({ pixels, generator }) => generator?.randn(latentCount(model, pixels)));
  for (const [i, { generator }] of starters.entries()) {
    // diffusers encodes the masked starter for an ordinary UNet too, and does nothing with it but draw.
    if (requests[i]!.mask && !model.folder.inpaints && drawIsSeeded(model)) {
      generator?.randn(latentCount(model, requests[i]!.pixels));
    }
  }
  const inpainting = model.folder.inpaints ? await inpaintingInputs(model, requests, starters) : [];
  return begun.map(({ request, schedule: { scheduler, begin, stepsRun }, generator }, i) => {
    const init = latents[i];
    const noise = noises[i];
    const { mask } = request;
    const { width, height } = request.pixels;
    const { vaeScale, latentChannels, inpaints } = model.folder;
    return {
      request,
      scheduler,
      generator,
      shape: [latentChannels, height / vaeScale, width / vaeScale],
      conditions: conditionsOf(model, request, prompts[i]!),
      droppedTokens: {
        prompt: prompts[i]!.at(-1)!.dropped,
        negativePrompt: prompts[i]!.at(-2)?.dropped ?? 0,
      },
      embeddings: namedIn(prompts[i]!),
      drawUnseeded: stepsRun > 0 && !drawIsSeeded(model),
      timings: {
        textEncode,
        vaeEncode: performance.now() - start - textEncode,
        denoise: 0,
        vaeDecode: 0,
        safetyCheck: 0,
      },
      known:
        mask && init && noise && !inpaints ? { weights: latentMask(mask, width, vaeScale), init, noise } : undefined,
      inpainting: inpainting[i],
      latents: startOf(init, noise, scheduler, begin, schedulerConfig),
      index: begin,
      unetCalls: 0,
    };
  });
}

/** As diffusers' inpainting begins at strength 1: nothing of the starter but what the UNet is told beside the latents. */
function beginsWithNoise({ folder }: Model, { mask, strength }: Img2ImgRequest): boolean {
  return folder.inpaints && mask !== undefined && strength === 1;
}

/** Numbers in the latents of a picture. */
function latentCount({ folder }: Model, { width, height }: Pixels): number {
  return folder.vaeChannels * (width / folder.vaeScale) * (height / folder.vaeScale);
}

/** @param init absent for noise alone; @param noise absent where no step runs */
function startOf(
  init: Float32Array | undefined,
  noise: Float32Array | undefined,
  scheduler: Scheduler,
  begin: number,
  config: SchedulerConfig,
): Float32Array {
  if (!noise) return init!;
  return init ? scheduler.addNoise(init, noise, begin) : pureNoise(noise, scheduler, config);
}

/** What the inpainting UNet of a model gets beside the latents; the last draw of each generator before the steps'. */
async function inpaintingInputs(
  model: Model,
  requests: readonly Img2ImgRequest[],
  starters: readonly Starter[],
): Promise<Float32Array[]> {
  const masks = requests.map(({ mask, pixels }) => mask ?? new Uint8Array(pixels.width * pixels.height).fill(255));
  const hidden = await encodeStarters(
    model,
    starters.map((starter, i) => ({ ...starter, hidden: masks[i]! })),
  );
  const { vaeScale } = model.folder;
  return requests.map(({ pixels }, i) => inpaintingChannels(latentMask(masks[i]!, pixels.width, vaeScale), hidden[i]!));
}

/** Each name once. */
function namedIn(prompts: readonly EncodedPrompt[]): NamedEmbeddings {
  const all = (which: keyof NamedEmbeddings) => [...new Set(prompts.flatMap(({ named }) => named[which]))];
  return { used: all('used'), unfit: all('unfit') };
}

function promptOf(request: Img2ImgRequest, row: RowKind): Prompt {
  const { prompt, negativePrompt, promptSyntax: syntax = 'plain', longPrompts: long = false } = request;
  return { text: row === 'prompt' ? prompt : negativePrompt, syntax, long };
}

/** One per row. @param prompts in the order of the rows: the prompt's is the last */
function conditionsOf(model: Model, request: Img2ImgRequest, prompts: readonly EncodedPrompt[]): readonly Condition[] {
  const { folder, sessions } = model;
  const { width, height } = request.pixels;
  const { guidanceWidth } = folder;
  const guidance = guidanceWidth === undefined ? undefined : guidanceEmbedding(request.guidanceScale, guidanceWidth);
  const condition = (prompt: EncodedPrompt, aestheticScore: number): Condition => ({
    prompt,
    timeIds: sessions.unet.takes('time_ids')
      ? timeIds(height, width, folder.wantsAestheticScore ? aestheticScore : undefined)
      : undefined,
    guidance,
    branches: model.branches?.rows.unet,
  });
  const prompt = prompts.at(-1)!;
  return guidanceRows(request, folder.family).map((row, i) => {
    if (row === 'prompt') return condition(prompt, 6);
    const zeros = folder.zerosForEmptyPrompt && request.negativePrompt === '';
    const negative = zeros ? zerosLike(prompt) : prompts[i]!;
    return condition({ ...negative, embeds: negative.negativeEmbeds }, 2.5);
  });
}

/** True when two generations of a model can be rows of one UNet call. */
export function canShareCall(model: Model, a: Generation, b: Generation): boolean {
  const sameTimestep = a.scheduler.timesteps[a.index] === b.scheduler.timesteps[b.index];
  const sameShape = a.shape.every((side, i) => side === b.shape[i]) && promptLength(a) === promptLength(b);
  return sameShape && (sameTimestep || !sharesTimestep(model));
}

/** In tokens: one for all rows of a generation. */
const promptLength = ({ conditions }: Generation) => conditions[0]!.prompt.embeds.dims[0];

/** Takes all generations one step further in one UNet call. None may be done, and all must be able to share a call. */
export async function denoise(model: Model, generations: readonly Generation[]): Promise<void> {
  const start = performance.now();
  const { shape } = generations[0]!;
  const rows = generations.flatMap(({ scheduler, latents, index, conditions, inpainting }) => {
    const scaled = scheduler.scaleModelInput(latents, index);
    const sample = inpainting ? concat(scaled, inpainting) : scaled;
    return conditions.map((condition) => ({ sample, timestep: scheduler.timesteps[index]!, condition }));
  });
  const predictions = await runUnet(model, rows, shape);

  const size = predictions.length / rows.length;
  let row = 0;
  for (const generation of generations) {
    const { scheduler, index, latents, generator, request } = generation;
    const outputs = predictions.subarray(row * size, (row + rowsOf(generation)) * size);
    row += rowsOf(generation);
    const guided = rowsOf(generation) === 2;
    const noisePred = guided ? guide(outputs, request.guidanceScale, model.folder.guidanceRescale) : outputs;
    generation.latents = scheduler.step(noisePred, index, latents, generator);
    generation.index++;
    if (generation.known) {
      generation.latents = keepKnown(generation.latents, generation.known, scheduler, generation.index);
    }
    generation.unetCalls++;
    generation.timings.denoise += performance.now() - start;
  }
}

/**
 * The pictures of generations that are done, in their order.
 * @param generations of one shape: they share a call of the VAE's decoder
 */
export async function decode(model: Model, generations: readonly Generation[]): Promise<Pixels[]> {
  const start = performance.now();
  const latents = generations.map((generation) => generation.latents);
  const decoded = await decodeLatents(model, latents, generations[0]!.shape);
  const pictures = decoded.map((picture, i) => {
    const { pixels, mask } = generations[i]!.request;
    return mask ? restoreStarter(picture, pixels, mask) : picture;
  });
  for (const { timings } of generations) timings.vaeDecode = performance.now() - start;
  return pictures;
}

function concat(a: Float32Array, b: Float32Array): Float32Array {
  const joined = new Float32Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
