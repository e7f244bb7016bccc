// One UNet call for the rows of many requests. Inputs by diffusers' names; conditions per family.

import { branchFeedsOf, type RowBranches } from './lora/branches.js';
import type { Model } from './model.js';
import { joinRows, type Row } from './onnx/rows.js';
import type { EncodedPrompt } from './prompts/encoded-prompt.js';

/** What a row is conditioned on. */
export interface Condition {
  readonly prompt: EncodedPrompt;
  /** SDXL: sizes and crop, or the aesthetic score. */
  readonly timeIds: Row | undefined;
  /** Latent consistency models: the guidance. */
  readonly guidance: Row | undefined;
  /** What the UNet gets beside the latents: for inpainting the mask and what is left of the starter, for edits the starter. */
  readonly beside?: Float32Array | undefined; // [more channels, height, width]
  /** LoRAs beside the weights; none if absent. */
  readonly branches?: RowBranches | undefined;
}

export interface UnetRow {
  /** The latents, as the scheduler scales them. */
  readonly sample: Float32Array; // [channels, height, width]
  readonly timestep: number;
  readonly condition: Condition;
}

/** True for graphs that take one timestep for all rows. */
export function sharesTimestep({ sessions }: Model): boolean {
  const [length] = sessions.unet.shapeOf('timestep');
  return length === undefined || length === 1;
}

/**
 * @param rows of one shape; with equal timesteps where the graph takes one for all
 * @param shape of the latents
 * @returns the predictions, [rows, channels, height, width], flat
 */
export async function runUnet(
  model: Model,
  rows: readonly UnetRow[],
  [, height, width]: readonly [channels: number, height: number, width: number],
): Promise<Float32Array> {
  const { unet } = model.sessions;
  const { condition } = rows[0]!;
  const join = (part: (row: UnetRow) => Row) => joinRows(rows.map(part));
  const timesteps = rows.map(({ timestep }) => timestep);
  const [output] = await unet.run({
    sample: join(({ sample, condition: { beside } }) => {
      const data = beside ? concat(sample, beside) : sample;
      return { data, dims: [data.length / (height * width), height, width] };
    }),
    timestep: sharesTimestep(model)
      ? { data: timesteps.slice(0, 1), dims: unet.shapeOf('timestep').map(() => 1) }
      : { data: timesteps, dims: [rows.length] },
    encoder_hidden_states: join((row) => row.condition.prompt.embeds),
    ...(condition.timeIds && {
      text_embeds: join((row) => row.condition.prompt.pooled!),
      time_ids: join((row) => row.condition.timeIds!),
    }),
    ...(condition.guidance && { timestep_cond: join((row) => row.condition.guidance!) }),
    ...branchFeedsOf(
      model,
      'unet',
      rows.map((row) => row.condition.branches ?? []),
    ),
  });
  return output!.data;
}

function concat(a: Float32Array, b: Float32Array): Float32Array {
  const joined = new Float32Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
