// A picture's file as its own words describe it. Nothing is unpacked to learn this, and no library sees the file before.

import { PictureError } from '../picture-error.js';

/** CIE xy of red, green, blue and white. */
export type Chromaticities = readonly [
  red: readonly [x: number, y: number],
  green: readonly [x: number, y: number],
  blue: readonly [x: number, y: number],
  white: readonly [x: number, y: number],
];

/** How samples become light: a power, or one of the named curves. */
export type Transfer = { readonly gamma: number } | 'srgb' | 'linear' | 'pq' | 'hlg';

export interface ColourDescription {
  readonly primaries: Chromaticities;
  readonly transfer: Transfer;
}

export const formats = ['png', 'jpeg', 'webp', 'avif', 'heic', 'gif', 'tiff', 'bmp'] as const;
export type FileFormat = (typeof formats)[number];

/** What a header says. It may lie: whoever unpacks the picture compares. */
export interface Header {
  readonly format: FileFormat;
  /** As stored, before the orientation is applied; of AVIF and HEIC as their transformations leave it. */
  readonly width: number;
  readonly height: number;
  /** EXIF's 1 to 8; 1 where nothing is to be turned. */
  readonly orientation: number;
  /** More frames or pages follow the first. */
  readonly animated: boolean;
  /** What unpacking the picture holds at once beyond a few rows, bytes. */
  readonly held: number;
}

export interface PictureFile extends Header {
  /** The file with only what decides its pixels: no metadata, no further frames, no profile. */
  essentials(): Buffer;
  /** @throws PictureError for one that is too large */
  profile?(): Buffer | undefined;
  /** What the file says of its colours besides a profile; absent for sRGB, and for what is taken for it. */
  readonly colours?: ColourDescription | undefined;
  /** More than eight bits per sample, where its decoder gives eight. */
  readonly deep?: boolean;
  /** Of a TIFF. */
  readonly samples?: Samples;
}

/** What the samples of a pixel are, where a format leaves it open. */
export interface Samples {
  readonly count: number;
  /** Colours come first; what follows is extra. */
  readonly colours: number;
  /** Index of the one that is transparency, and whether the colours are multiplied by it. */
  readonly alpha: { readonly index: number; readonly associated: boolean } | undefined;
}

/** Chunks, segments or boxes that one file may have: honest ones have some thousand. */
export const maxParts = 50_000;

export function tooManyParts(): PictureError {
  return new PictureError(
    'undecodable_picture',
    `The picture's file has more than ${maxParts} parts; no more are read.`,
  );
}

/** Ranges of a buffer, neighbours merged, to be joined once: a million small ones cost a million objects otherwise. */
export class Kept {
  private readonly parts: Buffer[] = [];
  private start = 0;
  private end = 0;

  constructor(private readonly bytes: Buffer) {}

  /** @param start not before the end of the last range */
  keep(start: number, end: number): void {
    if (start !== this.end || this.start === this.end) {
      this.flush();
      this.start = start;
    }
    this.end = end;
  }

  add(part: Buffer): void {
    this.flush();
    this.parts.push(part);
  }

  join(): Buffer {
    this.flush();
    return Buffer.concat(this.parts);
  }

  private flush(): void {
    if (this.end > this.start) this.parts.push(this.bytes.subarray(this.start, this.end));
    this.start = this.end;
  }
}
