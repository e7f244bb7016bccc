// A safetensors file of random weights, F16, written tensor by tensor: a checkpoint's size without its licence.

import { closeSync, openSync, writeSync } from 'node:fs';
import { toHalf } from '../../src/pipeline/numbers/half.js';
import type { Shapes } from './parts.js';

const elements = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Uniform, with the spread that keeps a layer's output as large as its input; norms leave it as it is. @returns bytes written */
export function writeRandomCheckpoint(path: string, shapes: Shapes): number {
  const header: Record<string, object> = {};
  let position = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const end = position + 2 * elements(shape);
    header[name] = { dtype: 'F16', shape, data_offsets: [position, end] };
    position = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(path, 'w');
  try {
    for (const bytes of [length, text]) writeSync(file, bytes);
    for (const [name, shape] of Object.entries(shapes)) writeSync(file, new Uint8Array(random(name, shape).buffer));
  } finally {
    closeSync(file);
  }
  return 8 + text.length + position;
}

const palette = 4096;
let state = 1;

function random(name: string, shape: readonly number[]): Uint16Array {
  const halves = new Uint16Array(elements(shape));
  if (shape.length === 1) return halves.fill(toHalf([name.endsWith('.weight') ? 1 : 0])[0]!);
  const bound = name.includes('embedding') ? 1 : Math.sqrt(3 / elements(shape.slice(1)));
  const values = toHalf(Float32Array.from({ length: palette }, (_, i) => (2 * (i / (palette - 1)) - 1) * bound));
  for (let i = 0; i < halves.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    halves[i] = values[state >>> 20]!;
  }
  return halves;
}
