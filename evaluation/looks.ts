// Measures of four looks, each from 0 (nothing of it) towards 1, on any picture. They were named before the weights that they
// measure were trained. They know nothing of the judge of styles, and see what it may not: whether a cell is flat, an edge dark.

import type { Picture } from '../test/picture-statistics.js';

/** Brightness (0.3, 0.59, 0.11), 0..1, row by row. */
interface Plane {
  readonly data: Float64Array;
  readonly width: number;
  readonly height: number;
}

export type Look = 'pixel' | 'watercolour' | 'oil' | 'photo';

/** What each measure is called in reports. */
export const looks: Readonly<Record<Look, { readonly name: string; readonly measure: (picture: Picture) => number }>> =
  {
    pixel: { name: 'flat grid cells', measure: (picture) => flatCells(picture) },
    watercolour: { name: 'dark edges and granulation', measure: washes },
    oil: { name: 'oriented strokes', measure: strokes },
    photo: { name: 'natural spectrum', measure: naturalSpectrum },
  };

/**
 * How much flatter the cells of `side` pixels on the picture's grid are than cells half a side off it: 1 - (variance within the
 * former) / (variance within the latter). 1 where all are flat; about 0 for a picture that knows no grid, and for one without edges.
 * The outermost cells do not count, as a frame may be as wide as they are.
 */
export function flatCells(picture: Picture, side = 8): number {
  const within = (offset: number) => {
    let sum = 0;
    for (let y = side + offset; y + 2 * side <= picture.height; y += side) {
      for (let x = side + offset; x + 2 * side <= picture.width; x += side) sum += cellVariance(picture, x, y, side);
    }
    const cells = (length: number) => Math.floor((length - offset) / side) - 2;
    return 1e-6 + sum / cells(picture.height) / cells(picture.width); // a picture of one colour has no grid
  };
  return clamp(1 - within(0) / within(side / 2));
}

function cellVariance({ data, width }: Picture, left: number, top: number, side: number): number {
  let total = 0;
  for (let c = 0; c < 3; c++) {
    let [sum, squares] = [0, 0];
    for (let y = top; y < top + side; y++) {
      for (let x = left; x < left + side; x++) {
        const value = data[3 * (y * width + x) + c]! / 255;
        sum += value;
        squares += value * value;
      }
    }
    total += squares / side ** 2 - (sum / side ** 2) ** 2;
  }
  return total;
}

/** The geometric mean of `edgeDarkening` and `granulation`: a wash has both. */
export function washes(picture: Picture): number {
  return Math.sqrt(edgeDarkening(picture) * granulation(picture));
}

/**
 * Pigment gathers in a rim on the darker side of an edge. The share of edges with a dark rim (2 to 4 pixels into the dark side it
 * is darker by more than 0.02 than 6 to 9 pixels in), less the share with a bright rim on the bright side: texture and sharpening
 * make both, pigment only the former.
 */
export function edgeDarkening(picture: Picture): number {
  const plane = blurred(brightness(picture));
  const { width, height } = plane;
  let [edges, dark, bright] = [0, 0, 0];
  for (let y = 18; y < height - 18; y += 2) {
    for (let x = 18; x < width - 18; x += 2) {
      const [dx, dy] = gradient(plane, x, y);
      const steepness = Math.hypot(dx, dy);
      if (steepness < 0.035) continue;
      /** The mean from so many to so many pixels up the slope of brightness. */
      const along = (from: number, to: number) => {
        let sum = 0;
        for (let d = from; d <= to; d++) {
          sum += at(plane, Math.round(x + (dx / steepness) * d), Math.round(y + (dy / steepness) * d));
        }
        return sum / (to - from + 1);
      };
      edges++;
      if (along(-9, -6) - along(-4, -2) > 0.02) dark++;
      if (along(2, 4) - along(6, 9) > 0.02) bright++;
    }
  }
  return edges < 50 ? 0 : clamp((dark - bright) / edges);
}

/**
 * Pigment settles in the hollows of paper: the share of 8 x 8 squares without an edge whose brightness varies finely (between
 * neighbours 1 to 2 pixels apart) by a deviation of 0.006 to 0.06. Flat paint has less, hatching more.
 */
export function granulation(picture: Picture): number {
  const plane = brightness(picture);
  const calm = blurred(plane);
  return shareOfSquares(plane, 8, (left, top) => {
    let [low, high, squares] = [1, 0, 0];
    for (let y = top; y < top + 8; y++) {
      for (let x = left; x < left + 8; x++) {
        const value = at(calm, x, y);
        low = Math.min(low, value);
        high = Math.max(high, value);
        squares += (at(plane, x, y) - value) ** 2;
      }
    }
    if (high - low > 0.15) return undefined;
    const deviation = Math.sqrt(squares / 64);
    return deviation > 0.006 && deviation < 0.06;
  });
}

/**
 * Bristles leave parallel lines: the share of 8 x 8 squares, strong edges apart, that have texture (mean gradient above 0.008) of
 * one direction (coherence of the structure tensor above 0.5). Random texture of this size has a coherence of about 0.2.
 */
export function strokes(picture: Picture): number {
  const plane = brightness(picture);
  const calm = blurred(blurred(plane));
  return shareOfSquares(plane, 8, (left, top) => {
    let [xx, yy, xy, sum, low, high] = [0, 0, 0, 0, 1, 0];
    for (let y = top; y < top + 8; y++) {
      for (let x = left; x < left + 8; x++) {
        const [dx, dy] = gradient(plane, x, y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
        sum += Math.hypot(dx, dy);
        low = Math.min(low, at(calm, x, y));
        high = Math.max(high, at(calm, x, y));
      }
    }
    // Where one form ends and another begins, anything has a direction.
    if (high - low > 0.2) return undefined;
    const coherence = Math.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-9);
    return sum / 64 > 0.008 && coherence > 0.5;
  });
}

/**
 * In photographs amplitude falls about as 1 / frequency down to the grain, everywhere. The share of 16 x 16 squares whose cosine
 * spectrum has some of every octave (mean amplitudes above 0.0002) and falls with a power of 0.85 to 2.2 of the frequency.
 */
export function naturalSpectrum(picture: Picture): number {
  const plane = brightness(picture);
  return shareOfSquares(plane, 16, (left, top) => {
    const octaves = octaveAmplitudes(plane, left, top);
    const slope = Math.log2(octaves[0]! / octaves[2]!) / 2;
    return Math.min(...octaves) > 0.0002 && slope > 0.85 && slope < 2.2;
  });
}

const cosines = Array.from({ length: 16 }, (_, f) =>
  Array.from({ length: 16 }, (_, i) => Math.cos(((i + 0.5) * Math.PI * f) / 16) * Math.sqrt((f === 0 ? 1 : 2) / 16)),
);

/** Mean amplitudes of a 16 x 16 square's cosine transform at frequencies 2 to 4, 4 to 8 and 8 to 16, in half waves a square. */
function octaveAmplitudes(plane: Plane, left: number, top: number): number[] {
  const rows = cosines.map((wave) =>
    Array.from({ length: 16 }, (_, y) => wave.reduce((sum, w, x) => sum + w * at(plane, left + x, top + y), 0)),
  );
  const sums = [0, 0, 0];
  const counts = [0, 0, 0];
  for (let u = 0; u < 16; u++) {
    for (let v = 0; v < 16; v++) {
      const octave = Math.floor(Math.log2(Math.hypot(u, v) || 1)) - 1;
      if (octave < 0 || octave > 2) continue;
      sums[octave]! += Math.abs(cosines[v]!.reduce((sum, w, y) => sum + w * rows[u]![y]!, 0)) / 16;
      counts[octave]! += 1;
    }
  }
  return sums.map((sum, i) => sum / counts[i]!);
}

/** The share of the squares for which `is` is true, among those for which it is not undefined; 0 where there are fewer than four. */
function shareOfSquares(plane: Plane, side: number, is: (left: number, top: number) => boolean | undefined): number {
  let [all, those] = [0, 0];
  for (let top = side; top + 2 * side <= plane.height; top += side) {
    for (let left = side; left + 2 * side <= plane.width; left += side) {
      const answer = is(left, top);
      if (answer === undefined) continue;
      all++;
      if (answer) those++;
    }
  }
  return all < 4 ? 0 : those / all;
}

function brightness({ data, width, height }: Picture): Plane {
  const plane = new Float64Array(width * height);
  for (let i = 0; i < plane.length; i++) {
    plane[i] = (0.3 * data[3 * i]! + 0.59 * data[3 * i + 1]! + 0.11 * data[3 * i + 2]!) / 255;
  }
  return { data: plane, width, height };
}

/** Means of 3 x 3 pixels. */
function blurred(plane: Plane): Plane {
  const data = new Float64Array(plane.data.length);
  for (let y = 0; y < plane.height; y++) {
    for (let x = 0; x < plane.width; x++) {
      let sum = 0;
      for (let dy = -1; dy <= 1; dy++) for (let dx = -1; dx <= 1; dx++) sum += at(plane, x + dx, y + dy);
      data[y * plane.width + x] = sum / 9;
    }
  }
  return { ...plane, data };
}

/** Half the differences between the neighbours on both sides. */
const gradient = (plane: Plane, x: number, y: number): [dx: number, dy: number] => [
  (at(plane, x + 1, y) - at(plane, x - 1, y)) / 2,
  (at(plane, x, y + 1) - at(plane, x, y - 1)) / 2,
];

function at({ data, width, height }: Plane, x: number, y: number): number {
  return data[Math.min(Math.max(y, 0), height - 1) * width + Math.min(Math.max(x, 0), width - 1)]!;
}

const clamp = (value: number) => Math.min(Math.max(value, 0), 1);
