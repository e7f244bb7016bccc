// What is made of a request, from its order to its pictures: plain data that the maker hands on and the answers are told from.

import type { Generated, Job } from '../../engine/host/engine.js';
import type { Conversion, MaskReading, Starter } from '../../image/host/picture-reader.js';
import type { Sent } from './fields.js';
import type { Parameters } from './parameters.js';
import type { StageTimes } from './stages.js';
import type { Warning } from './warnings.js';

/** What a client wants, in the field names of POST /img2img. */
export interface Order {
  /** One per picture, with seeds (eachSeed); all are of the same starter. */
  readonly bodies: readonly Sent[];
  readonly maskReading?: MaskReading;
  /** What the route itself leaves without effect. */
  readonly warnings?: readonly Warning[];
}

/** The pictures of a request, as they were uploaded. */
export interface Uploads {
  /** The starter. */
  readonly image?: Buffer;
  /** What is repainted; everything without one. */
  readonly mask?: Buffer;
}

/** What will run: one entry per picture. */
export interface Plan {
  readonly pictures: readonly PlannedPicture[];
  readonly starter: Starter;
  readonly warnings: readonly Warning[];
  readonly decodeMs: number;
}

export interface PlannedPicture {
  readonly sent: Sent;
  readonly parameters: Parameters;
  readonly job: Job;
  readonly converted: readonly Conversion[];
  /** Its mask leaves nothing to repaint. */
  readonly untouched: boolean;
}

export interface MadePicture {
  /** In the format that was asked for. */
  readonly bytes: Buffer;
  readonly parameters: Parameters;
  readonly result: Generated;
  /** The safety checker flagged it, and it is kept back: its bytes are a black picture. */
  readonly blocked: boolean;
  readonly warnings: readonly Warning[];
}

export interface Made {
  readonly pictures: readonly MadePicture[];
  readonly stageTimes: StageTimes;
  /** From the request's headers to the encoded pictures: the sum of the stages. */
  readonly totalMs: number;
  /** Of all pictures. */
  readonly modelRunMs: number;
  /** Of all pictures, each once. */
  readonly warnings: readonly Warning[];
}
