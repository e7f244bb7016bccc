// float16, which Node 20 and 22 have no array for: its bits in a Uint16Array. Source: IEEE 754-2019, binary16; rounding to even.

import { roundHalfEven } from '../schedulers/timesteps.js';

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

export function toHalf(values: ArrayLike<number>): Uint16Array {
  return Uint16Array.from(values, encode);
}

export function fromHalf(halves: Uint16Array): Float32Array {
  return Float32Array.from(halves, (half) => table[half]!);
}

function encode(value: number): number {
  float[0] = value;
  const sign = (bits[0]! >>> 16) & 0x8000;
  const magnitude = bits[0]! & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // not a number
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds to infinity
  if (magnitude < 0x38800000) {
    // Below 2^-14: a subnormal, in units of 2^-24.
    return sign | roundHalfEven(Math.abs(float[0]!) * 2 ** 24);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

const table = Float32Array.from({ length: 0x10000 }, (_, half) => {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
});
