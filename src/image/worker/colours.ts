// Samples -> sRGB bytes. Sources: IEC 61966-2-1 (sRGB), SMPTE ST 2084 (PQ), ITU-R BT.2100 (HLG), BT.2408 (where white is),
// Lindbloom's RGB to XYZ matrices and Bradford's adaptation.

import sharp from 'sharp';
import { srgbPrimaries } from '../shared/files/coded-colours.js';
import type { Chromaticities, ColourDescription, Transfer } from '../shared/files/file.js';
import { tiffOf } from './wrap.js';

/** By libvips, with the profile or, for CMYK without one, its own. @param samples without transparency @returns RGB */
export async function byProfile(
  data: Uint8Array,
  { width, height }: { width: number; height: number },
  colours: 1 | 3 | 4,
  profile: Buffer | undefined,
): Promise<Uint8Array> {
  const tiff = tiffOf({ data, width, height, colours, alpha: false, profile });
  return sharp(tiff, { limitInputPixels: false }).toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer();
}

/**
 * @param rgb 0 to `max`, three samples a pixel
 * @returns bytes, and whether something was brighter than white or beyond sRGB's colours by more than rounding
 */
export function bySrgb(
  rgb: Uint8Array | Uint16Array,
  max: number,
  { primaries, transfer }: ColourDescription,
): { data: Uint8Array; clipped: boolean } {
  const light = Float64Array.from({ length: max + 1 }, (_, i) => linear(i / max, transfer));
  const [m0, m1, m2, m3, m4, m5, m6, m7, m8] = toSrgb(primaries) as unknown as Nine;
  const luminance = transfer === 'hlg' ? luminanceOf(primaries) : undefined;
  const data = new Uint8Array(rgb.length);
  let clipped = false;
  for (let i = 0; i < rgb.length; i += 3) {
    let [r, g, b] = [light[rgb[i]!]!, light[rgb[i + 1]!]!, light[rgb[i + 2]!]!];
    if (luminance) {
      // The display's part of HLG: brighter pixels become brighter still.
      const scale = (luminance[0] * r + luminance[1] * g + luminance[2] * b) ** hlgSystem;
      [r, g, b] = [r * scale, g * scale, b * scale];
    }
    if (r > 1.02 || g > 1.02 || b > 1.02) clipped = true;
    data[i] = encoded(m0 * r + m1 * g + m2 * b);
    data[i + 1] = encoded(m3 * r + m4 * g + m5 * b);
    data[i + 2] = encoded(m6 * r + m7 * g + m8 * b);
  }
  return { data, clipped };
}

type Nine = readonly [number, number, number, number, number, number, number, number, number];
type Matrix = readonly (readonly [number, number, number])[];

const tableSize = 65_535;
const table = Uint8Array.from({ length: tableSize + 1 }, (_, i) => {
  const v = i / tableSize;
  return Math.round(255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055));
});
const encoded = (v: number) => table[v <= 0 ? 0 : v >= 1 ? tableSize : Math.round(v * tableSize)]!;

/** Nits of the white that diffuse surfaces have, which becomes sRGB's white. */
const hdrWhite = 203;
/** The same white in HLG's signal, as light of the scene. */
const hlgWhite = hlgLight(0.75);
const hlgSystem = 0.2; // gamma 1.2 of a display of 1000 nits, less the 1 of the light itself

/** Light, 1 for white; HDR goes beyond. */
function linear(v: number, transfer: Transfer): number {
  if (typeof transfer === 'object') return v ** transfer.gamma;
  switch (transfer) {
    case 'linear':
      return v;
    case 'srgb':
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    case 'pq': {
      const p = v ** (1 / 78.84375);
      return (10_000 / hdrWhite) * (Math.max(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p)) ** (1 / 0.1593017578125);
    }
    case 'hlg':
      return hlgLight(v) / hlgWhite;
  }
}

function hlgLight(v: number): number {
  return v <= 0.5 ? (v * v) / 3 : (Math.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12;
}

/** Row by row, from linear light of these primaries to that of sRGB's. */
function toSrgb(primaries: Chromaticities): number[] {
  const adapted = multiply(adaptation(primaries[3], srgbPrimaries[3]), toXyz(primaries));
  return multiply(inverse(toXyz(srgbPrimaries)), adapted).flat();
}

function luminanceOf(primaries: Chromaticities): readonly [number, number, number] {
  return toXyz(primaries)[1]!;
}

const xyzOf = ([x, y]: readonly [number, number]) => [x / y, 1, (1 - x - y) / y] as const;

function toXyz([red, green, blue, white]: Chromaticities): Matrix {
  const [r, g, b] = [xyzOf(red), xyzOf(green), xyzOf(blue)];
  const columns: Matrix = [0, 1, 2].map((i) => [r[i]!, g[i]!, b[i]!] as const);
  const scale = apply(inverse(columns), xyzOf(white));
  return columns.map((row) => [row[0] * scale[0], row[1] * scale[1], row[2] * scale[2]] as const);
}

const bradford: Matrix = [
  [0.8951, 0.2664, -0.1614],
  [-0.7502, 1.7135, 0.0367],
  [0.0389, -0.0685, 1.0296],
];

function adaptation(from: readonly [number, number], to: readonly [number, number]): Matrix {
  const [a, b] = [apply(bradford, xyzOf(from)), apply(bradford, xyzOf(to))];
  const scaled = bradford.map((row, i) => row.map((v) => (v * b[i]!) / a[i]!) as unknown as Matrix[number]);
  return multiply(inverse(bradford), scaled);
}

function apply(m: Matrix, v: readonly [number, number, number]): [number, number, number] {
  return m.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]) as [number, number, number];
}

function multiply(a: Matrix, b: Matrix): Matrix {
  return a.map((row) => [0, 1, 2].map((j) => row[0] * b[0]![j]! + row[1] * b[1]![j]! + row[2] * b[2]![j]!)) as never;
}

/** By cofactors. */
function inverse(m: Matrix): Matrix {
  const [[a, b, c], [d, e, f], [g, h, i]] = m as readonly [Matrix[number], Matrix[number], Matrix[number]];
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ].map((row) => row.map((v) => v / det)) as never;
}
