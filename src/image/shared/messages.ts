// What crosses between the HTTP process and one that decodes: plain data, pictures as bytes.

import type { Pixels } from '../../pixels.js';
import type { Rgb } from '../colour.js';
import type { Size } from '../size.js';
import type { PictureErrorCode } from './picture-error.js';

/** sharp's words, and `extend`: as `contain`, but its bars repeat the picture's edges. */
export type Fit = 'cover' | 'contain' | 'fill' | 'extend';

/** What a conversion to sRGB bytes of one frame changed. */
export type Conversion = 'colour_space' | 'bit_depth' | 'highlights' | 'transparency' | 'animation';

/** How a mask's picture is meant. */
export interface MaskReading {
  /**
   * `luminance`: white is 255, black and transparent are 0. `transparency` reads the other thing that masks are made of: 255
   * where the picture is transparent. `opacity`: 255 where it is opaque, and its luminance where it is opaque everywhere.
   */
  readonly channel?: 'luminance' | 'transparency' | 'opacity';
  /** 255 for what would be 0. */
  readonly invert?: boolean;
  /** Standard deviation of a Gaussian in pixels of the answer, 0.3 or more; 0 leaves the edges as they are. */
  readonly blur?: number;
}

interface Placed {
  readonly bytes: Buffer;
  readonly size: Size;
  readonly fit: Fit;
}

export interface PictureWork extends Placed {
  readonly kind: 'picture';
  /** What transparency, and the bars of `contain`, are filled with. */
  readonly background: Rgb;
}

export interface MaskWork extends Placed {
  readonly kind: 'mask';
  readonly reading: MaskReading;
}

export type Work = PictureWork | MaskWork;

export interface Task<W extends Work = Work> {
  readonly work: W;
  /** What the process may take for it, beyond what it has. */
  readonly memoryBytes: number;
  /** Of processor time, after which the process ends; a last resort where its parent is gone. */
  readonly cpuSeconds: number;
}

export interface DecodedPicture {
  readonly pixels: Pixels;
  readonly converted: readonly Conversion[];
}

export interface DecodedMask {
  /** One byte per pixel, 255 where to repaint. */
  readonly data: Uint8Array;
  /** Whether the file has transparency at all, be it opaque everywhere. */
  readonly hasAlpha: boolean;
}

export type Decoded<W extends Work = Work> = W extends PictureWork ? DecodedPicture : DecodedMask;

export type FromDecoder =
  | { readonly type: 'ready' }
  | { readonly type: 'decoded'; readonly result: DecodedPicture | DecodedMask; readonly memoryBytes: number }
  | {
      readonly type: 'failed';
      readonly code: PictureErrorCode;
      readonly message: string;
      readonly memoryBytes: number;
    };
