// Between pictures and latents. Source: diffusers, image_processor.py (pixels), autoencoder_kl.py and retrieve_latents (the draw).

import type { Pixels } from '../../pixels.js';
import type { TorchGenerator } from './noise.js';

/** What each byte is as a sample. */
const samples = Float32Array.from({ length: 256 }, (_, byte) => (byte / 255) * 2 - 1);

/** RGB bytes, row by row -> -1..1, channel by channel. */
export function pixelsToSample({ data, width, height }: Pixels): Float32Array {
  const plane = width * height;
  const sample = new Float32Array(3 * plane); // [3, height, width]
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) sample[c * plane + i] = samples[data[3 * i + c]!]!;
  }
  return sample;
}

/** -1..1 (clamped), channel by channel -> RGB bytes, halves rounded to even as numpy does. */
export function sampleToPixels(sample: Float32Array, width: number, height: number): Pixels {
  const plane = width * height;
  // This array clamps, and rounds halves to even, by itself.
  const data = new Uint8ClampedArray(3 * plane);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < plane; i++) data[3 * i + c] = Math.fround(sample[c * plane + i]! / 2 + 0.5) * 255;
  }
  return { data: new Uint8Array(data.buffer), width, height };
}

/**
 * A draw from the encoder's Gaussian.
 * @param parameters mean and log-variance, [2 * channels, height, width]
 * @param generator draws the noise; without one the mean is taken
 */
export function drawLatents(parameters: Float32Array, generator?: TorchGenerator): Float32Array {
  const count = parameters.length / 2;
  const noise = generator?.randn(count);
  const latents = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const logVariance = Math.min(Math.max(parameters[count + i]!, -30), 20);
    latents[i] = parameters[i]! + (noise ? Math.exp(0.5 * logVariance) * noise[i]! : 0);
  }
  return latents;
}
