// One step of many requests in one UNet call.

import { type Generation, rowsOf } from './generation.js';
import type { Model } from './model.js';
import { combineRows } from './numbers/guide.js';
import { keepKnown } from './numbers/mask.js';
import { runUnet, sharesTimestep } from './unet.js';

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
  const rows = generations.flatMap(({ scheduler, latents, index, conditions }) => {
    const sample = scheduler.scaleModelInput(latents, index);
    return conditions.map((condition) => ({ sample, timestep: scheduler.timesteps[index]!, condition }));
  });
  const predictions = await runUnet(model, rows, shape);

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
