// Pictures in another size exactly as Pillow makes them, which is what CLIP's preprocessing is defined by: an antialiased bicubic
// kernel in two passes, with whole numbers between them. Source: Pillow 13, src/libImaging/Resample.c; `test/reference/safety.py`.

import type { Pixels } from '../../pixels.js';

/** Fractional bits of a weight. */
const one = 2 ** 22;

export function resizeBicubic({ data, width, height }: Pixels, toWidth: number, toHeight: number): Pixels {
  const lost = { width: width - toWidth, height: height - toHeight };
  // Which pass is first decides the last bit. Earlier versions than 13 begin with the rows always.
  if (lost.height > 0 && lost.height > 2 * lost.width) {
    const down = resizeLines(data, columnsOf(width, height), toHeight);
    return { data: resizeLines(down, rowsOf(width, toHeight), toWidth), width: toWidth, height: toHeight };
  }
  const across = resizeLines(data, rowsOf(width, height), toWidth);
  return { data: resizeLines(across, columnsOf(toWidth, height), toHeight), width: toWidth, height: toHeight };
}

const rowsOf = (width: number, height: number): Lines => ({ count: height, length: width, step: 3, next: 3 * width });
const columnsOf = (width: number, height: number): Lines => ({
  count: width,
  length: height,
  step: 3 * width,
  next: 3,
});

/** How the lines of a picture lie in its bytes. */
interface Lines {
  readonly count: number;
  /** Pixels of one. */
  readonly length: number;
  /** Bytes from pixel to pixel, and from line to line. */
  readonly step: number;
  readonly next: number;
}

/** @returns lines of another length, which lie in the same way */
function resizeLines(data: Uint8Array, { count, length, step, next }: Lines, to: number): Uint8Array {
  if (to === length) return data;
  const alongRows = step === 3;
  const result = new Uint8Array(3 * count * to);
  const [outStep, outNext] = alongRows ? [3, 3 * to] : [step, next];
  for (const [i, { start, weights }] of windows(length, to).entries()) {
    for (let line = 0; line < count; line++) {
      for (let c = 0; c < 3; c++) {
        let sum = one / 2;
        let at = line * next + start * step + c;
        for (const weight of weights) {
          sum += data[at]! * weight;
          at += step;
        }
        result[line * outNext + i * outStep + c] = Math.min(Math.max(Math.floor(sum / one), 0), 255);
      }
    }
  }
  return result;
}

/** For each pixel of a line of `to` pixels: which of the `from` ones it is made of, and how much of each. */
function windows(from: number, to: number): { readonly start: number; readonly weights: readonly number[] }[] {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), from);
    const weights = Array.from({ length: end - start }, (_, x) => bicubic((x + start - centre + 0.5) / stretch));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { start, weights: weights.map((weight) => roundedAway((weight / sum) * one)) };
  });
}

/** Catmull and Rom's spline (Keys 1981, a = -1/2). */
function bicubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** Halves away from zero. */
const roundedAway = (x: number) => Math.trunc(x < 0 ? x - 0.5 : x + 0.5);
