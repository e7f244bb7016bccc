// The VAE's two halves: starters -> latents as the UNet sees them, and back. Source: diffusers, prepare_latents and decode.

import { createHash } from 'node:crypto';
import type { Pixels } from '../pixels.js';
import type { LatentScale } from './folder/latent-scale.js';
import { aliases } from './folder/signatures.js';
import type { Model } from './model.js';
import { drawLatents, pixelsToSample, sampleToPixels } from './numbers/latents.js';
import { type Mask, maskedSample } from './numbers/mask.js';
import type { TorchGenerator } from './numbers/noise.js';
import { noiseInput } from './onnx/patch.js';
import { runInRows } from './onnx/rows.js';
import type { Session } from './onnx/sessions.js';

export interface Starter {
  readonly pixels: Pixels;
  /** Draws from the encoder's distribution; without one its mean is taken. */
  readonly generator: TorchGenerator | undefined;
  /** What is hidden of it: an inpainting UNet gets the starter without what is repainted. */
  readonly hidden?: Mask;
}

/** False for encoders that draw inside their graph, where the request's seed does not reach. */
export function drawIsSeeded({ sessions, folder }: Model): boolean {
  return folder.encoderGives !== 'latent_sample' || sessions.vae_encoder.takes(noiseInput);
}

/**
 * @param starters of one size: they share a call
 * @returns each one's latents, [channels, height, width], scaled for the UNet
 */
export async function encodeStarters(model: Model, starters: readonly Starter[]): Promise<Float32Array[]> {
  const latents = await encodeUnscaled(model, starters);
  return latents.map((each) => scale(each, model.folder.latentScale));
}

/** The same as the encoder gives them. */
export async function encodeUnscaled(model: Model, starters: readonly Starter[]): Promise<Float32Array[]> {
  const { encoderGives } = model.folder;
  const drawsInside = encoderGives === 'latent_sample' || model.sessions.vae_encoder.takes(noiseInput);
  if (drawsInside) return runEncoder(model, starters);
  const outputs = await encoderOutputs(model, starters);
  if (encoderGives === 'latents') return outputs;
  return outputs.map((parameters, i) => drawLatents(parameters, starters[i]!.generator));
}

/** What the encoder gives before anything is drawn: equal starters take one run, and none while they are remembered. */
async function encoderOutputs(model: Model, starters: readonly Starter[]): Promise<Float32Array[]> {
  const keys = starters.map(keyOf);
  const known = new Map(keys.map((key) => [key, model.starterCache.get(key)]));
  const fresh = [...known.keys()].filter((key) => !known.get(key));
  if (fresh.length > 0) {
    const outputs = await runEncoder(
      model,
      fresh.map((key) => starters[keys.indexOf(key)]!),
    );
    for (const [i, key] of fresh.entries()) {
      known.set(key, outputs[i]!);
      model.starterCache.set(key, outputs[i]!, outputs[i]!.byteLength);
    }
  }
  return keys.map((key) => known.get(key)!);
}

function keyOf({ pixels: { data, width, height }, hidden }: Starter): string {
  const hash = createHash('sha256').update(data);
  if (hidden) hash.update(hidden);
  return `${width} x ${height}, ${hidden ? 'in part' : 'whole'}: ${hash.digest('base64')}`;
}

/** One call. @returns each one's first output */
async function runEncoder({ folder, sessions }: Model, starters: readonly Starter[]): Promise<Float32Array[]> {
  const { width, height } = starters[0]!.pixels;
  const sides = [height / folder.vaeScale, width / folder.vaeScale] as const;
  const name = sessions.vae_encoder.nameOf(aliases.starter);
  const drawsFromInput = sessions.vae_encoder.takes(noiseInput);
  const rows = starters.map(({ pixels, generator, hidden }) => {
    const whole = pixelsToSample(pixels);
    const sample = { [name]: { data: hidden ? maskedSample(whole, hidden) : whole, dims: [3, height, width] } };
    if (!drawsFromInput) return sample;
    const dims = [folder.vaeChannels, ...sides];
    const count = folder.vaeChannels * sides[0] * sides[1];
    const noise = generator ? generator.randn(count) : new Float32Array(count); // no noise: the mean
    return { ...sample, [noiseInput]: { data: noise, dims } };
  });
  const outputs = await runInRows(sessions.vae_encoder, rows);
  return outputs.map(([output]) => output!);
}

/**
 * The pictures of latents: by the VAE's decoder, or by the tiny one of a model that decodes with it.
 * @param latents of one shape, [channels, height, width]: they share a call
 * @throws Error when the decoder gives what is no number, as float16 VAEs do that overflow
 */
export function decodeLatents(model: Model, latents: readonly Float32Array[], dims: LatentShape): Promise<Pixels[]> {
  const { folder, sessions } = model;
  if (!sessions.vae_decoder) return decodeTiny(model, latents, dims);
  return decodeWith(
    model,
    sessions.vae_decoder,
    latents.map((each) => unscale(each, folder.latentScale)),
    dims,
  );
}

/** The same by the tiny decoder, which the model must have. */
export function decodeTiny(model: Model, latents: readonly Float32Array[], dims: LatentShape): Promise<Pixels[]> {
  const scale = { factor: model.folder.tinyScale, mean: undefined, std: undefined };
  return decodeWith(
    model,
    model.sessions.tiny_decoder!,
    latents.map((each) => unscale(each, scale)),
    dims,
  );
}

type LatentShape = readonly [channels: number, height: number, width: number];

async function decodeWith(
  { folder }: Model,
  decoder: Session,
  latents: readonly Float32Array[],
  dims: LatentShape,
): Promise<Pixels[]> {
  const [, height, width] = dims;
  const name = decoder.nameOf(aliases.latents);
  const rows = latents.map((data) => ({ [name]: { data, dims } }));
  const outputs = await runInRows(decoder, rows);
  return outputs.map(([sample]) => {
    if (hasNaN(sample!)) throw new Error('the VAE decoder gave values that are no numbers');
    return sampleToPixels(sample!, width * folder.vaeScale, height * folder.vaeScale);
  });
}

/** A loop, because a callback for each of so many numbers takes milliseconds. */
function hasNaN(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) return true;
  return false;
}

function scale(latents: Float32Array, { factor, mean, std }: LatentScale): Float32Array {
  const plane = latents.length / (mean?.length ?? std?.length ?? 1);
  return latents.map((x, i) => {
    const channel = Math.floor(i / plane);
    return ((x - (mean?.[channel] ?? 0)) * factor) / (std?.[channel] ?? 1);
  });
}

function unscale(latents: Float32Array, { factor, mean, std }: LatentScale): Float32Array {
  const plane = latents.length / (mean?.length ?? std?.length ?? 1);
  return latents.map((x, i) => {
    const channel = Math.floor(i / plane);
    return (x * (std?.[channel] ?? 1)) / factor + (mean?.[channel] ?? 0);
  });
}
