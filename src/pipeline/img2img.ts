// img2img in three parts: prepare, denoise (one UNet call at a time), decode. Arrays in, arrays out.
// Source: diffusers, pipeline_stable_diffusion_img2img.py; the order of random draws (VAE, noise, noise of each step) is part of it.
// Where we differ: a strength that rounds to no step takes the VAE round trip. UNet calls take the rows of many requests.

import type { Pixels } from '../pixels.js';
import { drawLatents, pixelsToSample, sampleToPixels } from './latents.js';
import type { Model } from './model.js';
import { TorchGenerator } from './noise.js';
import { createSchedule, type SchedulerName } from './schedulers/index.js';
import type { Scheduler } from './schedulers/schedule.js';

export interface Img2ImgRequest {
  /** The starter in the size of the output: both sides multiples of the model's. */
  readonly pixels: Pixels;
  readonly prompt: string;
  readonly negativePrompt: string;
  /** 0..1, the share of the schedule that is run. */
  readonly strength: number;
  readonly guidanceScale: number;
  readonly steps: number;
  readonly scheduler: SchedulerName;
  /** 0..2^32-1 */
  readonly seed: number;
}

/** Milliseconds per stage. */
export interface Timings {
  textEncode: number;
  vaeEncode: number;
  denoise: number;
  vaeDecode: number;
}

/** A request's state on the device. */
export interface Generation {
  readonly request: Img2ImgRequest;
  readonly scheduler: Scheduler;
  /** Goes on where the first noise ended: for schedulers that add noise at each step. */
  readonly generator: TorchGenerator;
  readonly shape: readonly [channels: number, height: number, width: number];
  readonly promptEmbeds: Embeds;
  /** Absent when guidance is at or below 1: then there is one row instead of two. */
  readonly negativePromptEmbeds: Embeds | undefined;
  readonly droppedTokens: { readonly prompt: number; readonly negativePrompt: number };
  readonly timings: Timings;
  latents: Float32Array; // [channels, height, width]
  /** Position in the scheduler's timesteps; done when it reaches their end. */
  index: number;
  unetCalls: number;
}

interface Embeds {
  readonly data: Float32Array; // [tokens, width]
  readonly dims: readonly [tokens: number, width: number];
}

export function isDone(generation: Generation): boolean {
  return generation.index >= generation.scheduler.timesteps.length;
}

/** Rows that a generation takes in a UNet call. */
export function rowsOf(generation: Generation): number {
  return generation.negativePromptEmbeds ? 2 : 1;
}

/** Encodes prompts and starter, and noises the latents to where the schedule begins. */
export async function prepare(model: Model, request: Img2ImgRequest): Promise<Generation> {
  const { folder, sessions } = model;
  const timings: Timings = { textEncode: 0, vaeEncode: 0, denoise: 0, vaeDecode: 0 };
  const { width, height } = request.pixels;
  const shape = [folder.latentChannels, height / folder.vaeScale, width / folder.vaeScale] as const;

  let start = performance.now();
  const guided = request.guidanceScale > 1;
  const prompt = model.tokenize(request.prompt);
  const negativePrompt = model.tokenize(request.negativePrompt);
  const promptEmbeds = await encodePrompt(model, prompt.ids);
  const negativePromptEmbeds = guided ? await encodePrompt(model, negativePrompt.ids) : undefined;
  timings.textEncode = performance.now() - start;

  start = performance.now();
  const { scheduler, begin, stepsRun } = createSchedule(request, folder.schedulerConfig);
  const generator = new TorchGenerator(request.seed);
  const { data: parameters } = await sessions.vae_encoder.run({
    sample: { data: pixelsToSample(request.pixels), dims: [1, 3, height, width] },
  });
  let latents: Float32Array;
  if (stepsRun === 0) latents = drawLatents(parameters, folder.scalingFactor);
  else {
    const init = drawLatents(parameters, folder.scalingFactor, generator);
    latents = scheduler.addNoise(init, generator.randn(init.length), begin);
  }
  timings.vaeEncode = performance.now() - start;

  return {
    request,
    scheduler,
    generator,
    shape,
    promptEmbeds,
    negativePromptEmbeds,
    droppedTokens: { prompt: prompt.dropped, negativePrompt: guided ? negativePrompt.dropped : 0 },
    timings,
    latents,
    index: begin,
    unetCalls: 0,
  };
}

/** True for exports whose graph takes one timestep for all rows (a scalar, or one of fixed length 1). */
export function sharesTimestep(model: Model): boolean {
  const [length] = model.sessions.unet.shapeOf('timestep');
  return length === undefined || length === 1;
}

/** True when two generations of a model can be rows of one UNet call. */
export function canShareCall(model: Model, a: Generation, b: Generation): boolean {
  const sameTimestep = a.scheduler.timesteps[a.index] === b.scheduler.timesteps[b.index];
  return a.shape.every((side, i) => side === b.shape[i]) && (sameTimestep || !sharesTimestep(model));
}

/** Takes all generations one step further in one UNet call. None may be done, and all must be able to share a call. */
export async function denoise(model: Model, generations: readonly Generation[]): Promise<void> {
  const start = performance.now();
  const { unet } = model.sessions;
  const [channels, height, width] = generations[0]!.shape;
  const size = channels * height * width;
  const [tokens, embedWidth] = generations[0]!.promptEmbeds.dims;
  const rows = generations.reduce((sum, generation) => sum + rowsOf(generation), 0);

  const sample = new Float32Array(rows * size);
  const timestep = new Float32Array(rows);
  const hiddenStates = new Float32Array(rows * tokens * embedWidth);
  let row = 0;
  for (const generation of generations) {
    const input = generation.scheduler.scaleModelInput(generation.latents, generation.index);
    // The negative row comes first, as in diffusers.
    for (const embeds of [generation.negativePromptEmbeds, generation.promptEmbeds]) {
      if (!embeds) continue;
      sample.set(input, row * size);
      timestep[row] = generation.scheduler.timesteps[generation.index]!;
      hiddenStates.set(embeds.data, row * tokens * embedWidth);
      row++;
    }
  }
  const { data } = await unet.run({
    sample: { data: sample, dims: [rows, channels, height, width] },
    timestep: sharesTimestep(model)
      ? { data: timestep.subarray(0, 1), dims: unet.shapeOf('timestep').map(() => 1) }
      : { data: timestep, dims: [rows] },
    encoder_hidden_states: { data: hiddenStates, dims: [rows, tokens, embedWidth] },
  });

  row = 0;
  for (const generation of generations) {
    const outputs = data.subarray(row * size, (row + rowsOf(generation)) * size);
    row += rowsOf(generation);
    const noisePred = generation.negativePromptEmbeds ? guide(outputs, generation.request.guidanceScale) : outputs;
    generation.latents = generation.scheduler.step(
      noisePred,
      generation.index,
      generation.latents,
      generation.generator,
    );
    generation.index++;
    generation.unetCalls++;
    generation.timings.denoise += performance.now() - start;
  }
}

/** The picture of a generation that is done. */
export async function decode(model: Model, generation: Generation): Promise<Pixels> {
  const start = performance.now();
  const { scalingFactor, vaeScale } = model.folder;
  const [channels, height, width] = generation.shape;
  const { data } = await model.sessions.vae_decoder.run({
    latent_sample: { data: generation.latents.map((x) => x / scalingFactor), dims: [1, channels, height, width] },
  });
  const pixels = sampleToPixels(data, width * vaeScale, height * vaeScale);
  generation.timings.vaeDecode = performance.now() - start;
  return pixels;
}

async function encodePrompt(model: Model, ids: readonly number[]): Promise<Embeds> {
  const { data, dims } = await model.sessions.text_encoder.run({ input_ids: { data: ids, dims: [1, ids.length] } });
  return { data, dims: [dims[1]!, dims[2]!] };
}

/** Classifier-free guidance (Ho & Salimans 2022): [negative row, prompt row] -> one prediction. */
function guide(outputs: Float32Array, scale: number): Float32Array {
  const size = outputs.length / 2;
  const guided = new Float32Array(size);
  for (let i = 0; i < size; i++) guided[i] = outputs[i]! + scale * (outputs[size + i]! - outputs[i]!);
  return guided;
}
