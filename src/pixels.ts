/** An RGB picture in memory: sRGB, 3 bytes a pixel, row by row without padding. What image, engine and pipeline exchange. */
export interface Pixels {
  readonly data: Uint8Array; // [height * width * 3]
  readonly width: number;
  readonly height: number;
}
