// How a request begins on the device: what its starter becomes.

import type { RowKind } from '../../guidance.js';
import type { Img2ImgRequest } from '../../img2img-request.js';
import type { Model } from '../model.js';
import type { Known } from '../numbers/mask.js';
import type { TorchGenerator } from '../numbers/noise.js';
import type { Schedule } from '../schedulers/index.js';

/** A request with all that was made for it alone. */
export interface Started {
  readonly request: Img2ImgRequest;
  readonly schedule: Schedule;
  /** Nothing was drawn from it yet. */
  readonly generator: TorchGenerator;
}

export interface Beginning {
  /** Noised to where the schedule begins. */
  readonly latents: Float32Array; // [channels, height, width]
  /** Of a masked request with an ordinary UNet. */
  readonly known?: Known | undefined;
  /** What the UNet gets beside the latents, in rows of this kind; nothing if absent. */
  readonly beside?: ((row: RowKind) => Float32Array) | undefined; // [more channels, height, width]
}

/** @param started with starters of one size: they share a call of the encoder */
export type Begin = (model: Model, started: readonly Started[]) => Promise<Beginning[]>;
