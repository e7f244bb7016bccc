// img2img in three parts: prepare, denoise (one UNet call at a time), decode. Arrays in, arrays out.
// Source: diffusers, pipeline_stable_diffusion_img2img.py; the order of random draws (VAE, noise, noise of each step) is part of it.
// Where we differ: a strength that rounds to no step takes the VAE round trip. UNet calls take the rows of many requests.

import type { Pixels } from '../pixels.js';
import { drawLatents, pixelsToSample, sampleToPixels } from './latents.js';
import type { Model } from './model.js';
import { TorchGenerator } from './noise.js';
import { createSchedule, type SchedulerName } from './schedulers/index.js';
import type { Scheduler } from './schedulers/schedule.js';
import type { Session } from './sessions.js';

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

/** What the text encoder makes of a text, and how many of its tokens did not fit. */
export interface EncodedPrompt {
  readonly embeds: Embeds;
  readonly dropped: number;
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

/**
 * Encodes prompts and starters, and noises the latents to where their schedules begin.
 * @param requests with starters of one size: they share a call of each encoder
 */
export async function prepare(model: Model, requests: readonly Img2ImgRequest[]): Promise<Generation[]> {
  const start = performance.now();
  const texts = requests.flatMap(({ prompt, negativePrompt, guidanceScale }) =>
    guidanceScale > 1 ? [prompt, negativePrompt] : [prompt],
  );
  const prompts = await encodePrompts(model, texts);
  const textEncode = performance.now() - start;
  const parameters = await encodeStarters(
    model,
    requests.map(({ pixels }) => pixels),
  );
  return requests.map((request, i) => {
    const generation = begin(model, request, prompts, parameters[i]!);
    generation.timings.textEncode = textEncode;
    generation.timings.vaeEncode = performance.now() - start - textEncode;
    return generation;
  });
}

/** @param parameters of the VAE's distribution for the starter */
function begin(
  { folder }: Model,
  request: Img2ImgRequest,
  prompts: ReadonlyMap<string, EncodedPrompt>,
  parameters: Float32Array,
): Generation {
  const { width, height } = request.pixels;
  const prompt = prompts.get(request.prompt)!;
  const negativePrompt = request.guidanceScale > 1 ? prompts.get(request.negativePrompt) : undefined;
  const { scheduler, begin: index, stepsRun } = createSchedule(request, folder.schedulerConfig);
  const generator = new TorchGenerator(request.seed);
  let latents: Float32Array;
  if (stepsRun === 0) latents = drawLatents(parameters, folder.scalingFactor);
  else {
    const init = drawLatents(parameters, folder.scalingFactor, generator);
    latents = scheduler.addNoise(init, generator.randn(init.length), index);
  }
  return {
    request,
    scheduler,
    generator,
    shape: [folder.latentChannels, height / folder.vaeScale, width / folder.vaeScale],
    promptEmbeds: prompt.embeds,
    negativePromptEmbeds: negativePrompt?.embeds,
    droppedTokens: { prompt: prompt.dropped, negativePrompt: negativePrompt?.dropped ?? 0 },
    timings: { textEncode: 0, vaeEncode: 0, denoise: 0, vaeDecode: 0 },
    latents,
    index,
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

/**
 * The pictures of generations that are done, in their order.
 * @param generations of one shape: they share a call of the VAE's decoder
 */
export async function decode(model: Model, generations: readonly Generation[]): Promise<Pixels[]> {
  const start = performance.now();
  const { scalingFactor, vaeScale } = model.folder;
  const [channels, height, width] = generations[0]!.shape;
  const latents = generations.map((generation) => generation.latents.map((x) => x / scalingFactor));
  const samples = await runInRows(model.sessions.vae_decoder, 'latent_sample', latents, [channels, height, width]);
  const pictures = samples.map((sample) => sampleToPixels(sample, width * vaeScale, height * vaeScale));
  for (const { timings } of generations) timings.vaeDecode = performance.now() - start;
  return pictures;
}

/** What the text encoder makes of these texts, each once, and of those that the cache does not have. */
async function encodePrompts(model: Model, texts: readonly string[]): Promise<Map<string, EncodedPrompt>> {
  const prompts = new Map<string, EncodedPrompt>();
  const missing: { text: string; ids: readonly number[]; dropped: number }[] = [];
  for (const text of new Set(texts)) {
    const known = model.promptCache.get(text);
    if (known) prompts.set(text, known);
    else missing.push({ text, ...model.tokenize(text) });
  }
  if (missing.length === 0) return prompts;
  const tokens = missing[0]!.ids.length;
  const rows = await runInRows(
    model.sessions.text_encoder,
    'input_ids',
    missing.map(({ ids }) => ids),
    [tokens],
  );
  for (const [i, { text, dropped }] of missing.entries()) {
    const data = rows[i]!;
    const prompt = { embeds: { data, dims: [tokens, data.length / tokens] as const }, dropped };
    prompts.set(text, prompt);
    model.promptCache.set(text, prompt, data.byteLength);
  }
  return prompts;
}

/** Mean and log-variance of each starter's latents. */
function encodeStarters(model: Model, starters: readonly Pixels[]): Promise<Float32Array[]> {
  const { width, height } = starters[0]!;
  return runInRows(model.sessions.vae_encoder, 'sample', starters.map(pixelsToSample), [3, height, width]);
}

/** One run for all rows where the graph leaves their count free, else one run each. */
async function runInRows(
  session: Session,
  input: string,
  rows: readonly (Float32Array | readonly number[])[],
  dims: readonly number[],
): Promise<Float32Array[]> {
  if (rows.length > 1 && typeof session.shapeOf(input)[0] === 'number') {
    const outputs: Float32Array[] = [];
    for (const row of rows) outputs.push(...(await runInRows(session, input, [row], dims)));
    return outputs;
  }
  const size = rows[0]!.length;
  const joined = new Float32Array(rows.length * size);
  for (const [i, row] of rows.entries()) joined.set(row, i * size);
  const { data } = await session.run({ [input]: { data: joined, dims: [rows.length, ...dims] } });
  const length = data.length / rows.length;
  return rows.map((_, i) => data.slice(i * length, (i + 1) * length));
}

/** Classifier-free guidance (Ho & Salimans 2022): [negative row, prompt row] -> one prediction. */
function guide(outputs: Float32Array, scale: number): Float32Array {
  const size = outputs.length / 2;
  const guided = new Float32Array(size);
  for (let i = 0; i < size; i++) guided[i] = outputs[i]! + scale * (outputs[size + i]! - outputs[i]!);
  return guided;
}
