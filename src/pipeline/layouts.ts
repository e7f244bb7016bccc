// How a denoiser takes latents and gives what it predicts of them: as a picture with channels, or packed as a sequence of tokens.
// Sources: diffusers, its UNets' pipelines; pipeline_flux.py and pipeline_flux_kontext.py for tokens.

import type { Family } from './families/family.js';
import { packed, placesOf, unpacked } from './numbers/packing.js';
import { joinRows, type Row } from './onnx/rows.js';
import type { Input, Session } from './onnx/sessions.js';

type LatentShape = readonly [channels: number, height: number, width: number];

interface LatentRow {
  readonly sample: Float32Array; // [channels, height, width]
  readonly timestep: number;
  readonly condition: { readonly prompt: { readonly embeds: Row }; readonly beside?: Float32Array | undefined };
}

interface Layout {
  /** The latents of all rows with what goes beside them, their timesteps, and where their parts lie. */
  feeds(denoiser: Session, rows: readonly LatentRow[], shape: LatentShape): Readonly<Record<string, Input>>;
  /** @param output of the graph, flat @returns [rows, channels, height, width], flat */
  predictions(output: Float32Array, rows: number, shape: LatentShape): Float32Array;
}

/** True for graphs that take one timestep for all rows. */
export function takesOneTimestep(denoiser: Session): boolean {
  const [length] = denoiser.shapeOf('timestep');
  return length === undefined || length === 1;
}

/** What goes beside the latents are more channels. */
const picture: Layout = {
  feeds(denoiser, rows, [, height, width]) {
    const name = denoiser.nameOf(['sample', 'hidden_states']);
    const timesteps = rows.map(({ timestep }) => timestep);
    return {
      [name]: joinRows(
        rows.map(({ sample, condition: { beside } }) => {
          const data = beside ? concat(sample, beside) : sample;
          return { data, dims: [data.length / (height * width), height, width] };
        }),
      ),
      timestep: takesOneTimestep(denoiser)
        ? { data: timesteps.slice(0, 1), dims: denoiser.shapeOf('timestep').map(() => 1) }
        : { data: timesteps, dims: [rows.length] },
    };
  },
  predictions: (output) => output,
};

/** Timesteps are shares of this, whatever the model was trained with. */
const timestepUnit = 1000;

/** What goes beside the latents are more tokens after theirs, of a second picture, about which nothing is predicted. */
const tokens: Layout = {
  feeds(denoiser, rows, shape) {
    const { beside } = rows[0]!.condition;
    const size = 4 * shape[0];
    const places = [...placesOf(shape, 0), ...(beside ? placesOf(shape, 1) : [])];
    const words = rows[0]!.condition.prompt.embeds.dims[0]!;
    return {
      hidden_states: joinRows(
        rows.map(({ sample, condition }) => {
          const own = packed(sample, shape);
          const data = condition.beside ? concat(own, packed(condition.beside, shape)) : own;
          return { data, dims: [data.length / size, size] };
        }),
      ),
      timestep: { data: rows.map(({ timestep }) => Math.fround(timestep / timestepUnit)), dims: [rows.length] },
      img_ids: ids(denoiser, 'img_ids', places, rows.length),
      txt_ids: ids(denoiser, 'txt_ids', Array(3 * words).fill(0), rows.length),
    };
  },
  predictions(output, rows, shape) {
    const size = output.length / rows;
    const each = Array.from({ length: rows }, (_, i) => unpacked(output.subarray(i * size, (i + 1) * size), shape));
    return each.length === 1 ? each[0]! : each.reduce(concat);
  },
};

/** The places of tokens: one list for all rows, or as older graphs have it one for each. @param places [tokens, 3], flat */
function ids(denoiser: Session, name: string, places: readonly number[], rows: number): Input {
  const dims = [places.length / 3, 3];
  const shape = denoiser.shapeOf(name);
  if (shape.length < 3) return { data: places, dims };
  const count = typeof shape[0] === 'number' ? shape[0] : rows;
  return { data: Array.from({ length: count }, () => places).flat(), dims: [count, ...dims] };
}

export const layouts: Readonly<Record<Family['latents'], Layout>> = { picture, tokens };

function concat(a: Float32Array, b: Float32Array): Float32Array {
  const joined = new Float32Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
