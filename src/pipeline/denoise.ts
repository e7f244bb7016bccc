// One step of many requests in one UNet call.

import { type Generation, rowsOf } from './generation.js';
import type { Model } from './model.js';
import { combineRows } from './numbers/guide.js';
import { keepKnown } from './numbers/mask.js';
import { runUnet, sharesTimestep, type UnetRow } from './unet.js';

/** True when two generations of a model can be rows of one UNet call. */
export function canShareCall(model: Model, a: Generation, b: Generation): boolean {
  const sameTimestep = a.scheduler.timesteps[a.index] === b.scheduler.timesteps[b.index];
  const sameShape = a.shape.every((side, i) => side === b.shape[i]) && promptLength(a) === promptLength(b);
  return sameShape && (sameTimestep || !sharesTimestep(model));
}

/** In tokens: one for all rows of a generation. */
const promptLength = ({ conditions }: Generation) => conditions[0]!.prompt.embeds.dims[0];

/**
 * Takes all generations one step further. None may be done, and all must be able to share a call.
 * @param rowsPerCall where all calls are to have so many rows, the last one filled up; one call for all rows if absent
 */
export async function denoise(model: Model, generations: readonly Generation[], rowsPerCall?: number): Promise<void> {
  const start = performance.now();
  const { shape } = generations[0]!;
  const rows = generations.flatMap(({ scheduler, latents, index, conditions }) => {
    const sample = scheduler.scaleModelInput(latents, index);
    return conditions.map((condition) => ({ sample, timestep: scheduler.timesteps[index]!, condition }));
  });
  const predictions = await inCallsOf(rowsPerCall ?? rows.length, rows, (some) => runUnet(model, some, shape));

  const size = predictions.length / rows.length;
  let row = 0;
  for (const generation of generations) {
    const { scheduler, index, latents, generator, request } = generation;
    const outputs = predictions.subarray(row * size, (row + rowsOf(generation)) * size);
    row += rowsOf(generation);
    const noisePred = combineRows(outputs, rowsOf(generation), request, model.folder);
    generation.latents = scheduler.step(noisePred, index, latents, generator);
    generation.index++;
    if (generation.known) {
      generation.latents = keepKnown(generation.latents, generation.known, scheduler, generation.index);
    }
    generation.unetCalls++;
    generation.timings.denoise += performance.now() - start;
  }
}

/** @returns what calls of so many rows give, together, without what they give for rows that fill the last one up */
async function inCallsOf(
  size: number,
  rows: readonly UnetRow[],
  run: (some: readonly UnetRow[]) => Promise<Float32Array>,
): Promise<Float32Array> {
  if (rows.length === size) return run(rows);
  const outputs: Float32Array[] = [];
  for (let at = 0; at < rows.length; at += size) {
    const some = rows.slice(at, at + size);
    const filled = [...some, ...Array<UnetRow>(size - some.length).fill(some.at(-1)!)];
    const output = await run(filled);
    outputs.push(output.subarray(0, (output.length / size) * some.length));
  }
  const all = new Float32Array(outputs.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const output of outputs) {
    all.set(output, at);
    at += output.length;
  }
  return all;
}
