// One UNet call for the rows of many requests. Inputs by diffusers' names; conditions per family.
// Sources: diffusers, pipeline_stable_diffusion*_img2img.py; Luo et al. 2023 for the guidance embedding.

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
  /** LoRAs beside the weights; none if absent. */
  readonly branches?: RowBranches | undefined;
}

export interface UnetRow {
  /** With more channels than the prediction for an inpainting UNet. */
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
    sample: join(({ sample }) => ({ data: sample, dims: [sample.length / (height * width), height, width] })),
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

/** The guidance as a sinusoidal embedding of `w = scale - 1` (get_guidance_scale_embedding). */
export function guidanceEmbedding(scale: number, width: number): Row {
  const half = Math.floor(width / 2);
  const data = new Float32Array(width);
  for (let i = 0; i < half; i++) {
    const angle = (scale - 1) * 1000 * Math.exp((-i * Math.log(10000)) / (half - 1));
    data[i] = Math.sin(angle);
    data[half + i] = Math.cos(angle);
  }
  return { data, dims: [width] };
}

/** SDXL's micro-conditioning for a picture that was neither scaled nor cut: sizes are (height, width). */
export function timeIds(height: number, width: number, aestheticScore: number | undefined): Row {
  const target = aestheticScore === undefined ? [height, width] : [aestheticScore];
  const data = [height, width, 0, 0, ...target];
  return { data, dims: [data.length] };
}
