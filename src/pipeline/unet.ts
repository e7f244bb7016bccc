// One call of the UNet, or of the transformer in its place, for the rows of many requests. Inputs by diffusers' names.

import type { Family } from './families/family.js';
import { layouts, takesOneTimestep } from './layouts.js';
import { branchFeedsOf, type RowBranches } from './lora/branches.js';
import { denoiserOf, type Model } from './model.js';
import { joinRows, type Row } from './onnx/rows.js';
import type { EncodedPrompt } from './prompts/encoded-prompt.js';

/** What a row is conditioned on. */
export interface Condition {
  readonly prompt: EncodedPrompt;
  /** What else the graph takes of a row, by its names, such as SDXL's time_ids. */
  readonly inputs: Readonly<Record<string, Row>>;
  /** What goes in beside the latents: for inpainting the mask and what is left of the starter, for edits the starter. */
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

const pooledNames: Readonly<Record<Family['denoiser'], string>> = {
  unet: 'text_embeds',
  transformer: 'pooled_projections',
};

/** True for graphs that take one timestep for all rows. */
export const sharesTimestep = (model: Model): boolean => takesOneTimestep(denoiserOf(model));

/**
 * @param rows of one shape; with equal timesteps where the graph takes one for all
 * @param shape of the latents
 * @returns the predictions, [rows, channels, height, width], flat
 */
export async function runUnet(
  model: Model,
  rows: readonly UnetRow[],
  shape: readonly [channels: number, height: number, width: number],
): Promise<Float32Array> {
  const denoiser = denoiserOf(model);
  const { family } = model.folder;
  const layout = layouts[family.latents];
  const pooled = pooledNames[family.denoiser];
  const join = (part: (row: UnetRow) => Row) => joinRows(rows.map(part));
  const inputs = Object.keys(rows[0]!.condition.inputs);
  const [output] = await denoiser.run({
    ...layout.feeds(denoiser, rows, shape),
    encoder_hidden_states: join((row) => row.condition.prompt.embeds),
    ...(denoiser.takes(pooled) && { [pooled]: join((row) => row.condition.prompt.pooled!) }),
    ...Object.fromEntries(inputs.map((name) => [name, join((row) => row.condition.inputs[name]!)])),
    ...branchFeedsOf(
      model,
      'unet',
      rows.map((row) => row.condition.branches ?? []),
    ),
  });
  return layout.predictions(output!.data, rows.length, shape);
}
