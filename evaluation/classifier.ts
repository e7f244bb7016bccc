// Which style is a picture in? Asks the small network that models/training/train_classifier.py trains on drawings.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Picture } from '../test/picture-statistics.js';

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
/**
 * The styles that it knows, `none` last, and the shares that it gets right: of held-out drawings, untouched and disturbed, of held-out
 * photographs in every style, and of near misses, which are `none`.
 */
export const { labels, accuracy } = JSON.parse(readFileSync(file('labels.json'), 'utf8')) as {
  labels: string[];
  accuracy: { untouched: number; disturbed: number; photographs: number; misses: number };
};
const session = await InferenceSession.create(file('classifier.onnx'), { intraOpNumThreads: 1 });

/** Log-probabilities by label. */
export async function classify({ data, width, height }: Picture): Promise<Map<string, number>> {
  const planes = new Float32Array(data.length);
  const area = width * height;
  for (let i = 0; i < data.length; i++) planes[(i % 3) * area + Math.floor(i / 3)] = data[i]! / 127.5 - 1;
  const { logits } = await session.run({ picture: new Tensor('float32', planes, [1, 3, height, width]) });
  const values = [...(logits!.data as Float32Array)];
  const largest = Math.max(...values);
  const normaliser = largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
  return new Map(labels.map((label, i) => [label, values[i]! - normaliser]));
}

/** The most probable label. */
export async function styleOf(picture: Picture): Promise<string> {
  return [...(await classify(picture))].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}
