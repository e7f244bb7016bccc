// What calls cost on the devices of the simulation, fitted to published figures.

import { costOf } from '../../test/stand-in/device.js';

export interface Costs {
  readonly name: string;
  /** ms of a UNet call, by rows; linear between them and beyond. */
  readonly callMs: Readonly<Record<string, number>>;
  /** ms of one picture through the VAE: pictures cost the same alone and together. */
  readonly encodeMs: number;
  readonly decodeMs: number;
}

const known = new Map<Costs, number[]>();

export function callCost(costs: Costs, rows: number): number {
  const byRows = known.get(costs) ?? [];
  known.set(costs, byRows);
  byRows[rows] ??= costOf(costs.callMs, rows);
  return byRows[rows];
}

const oneRowMs = 16.7;
/** Pictures per second against one row's, by rows: SGLang's Qwen-Image at 512 x 512 on an H200 with torch.compile (sglang#22183). */
const gains = { 1: 1, 2: 1.82, 3: 2.69, 4: 2.77, 8: 3.14, 16: 3.21 };
const h200 = Object.fromEntries(Object.entries(gains).map(([rows, gain]) => [rows, (oneRowMs * Number(rows)) / gain]));
const flat = Object.fromEntries([1, 2, 16].map((rows) => [rows, oneRowMs * rows]));

/**
 * Decoding costs as much as so many rows of a device that is busy: SDXL-LCM, 4 steps of one row at 1024 x 1024 with TensorRT on an H100,
 * UNet 103 ms, VAE 127 ms (stabilityai/stable-diffusion-xl-1.0-tensorrt). An encoder does about half of a decoder's arithmetic.
 */
const decodeRows = 127 / (103 / 4);
const vae = (busyRowMs: number) => ({ encodeMs: (decodeRows * busyRowMs) / 2, decodeMs: decodeRows * busyRowMs });

export const curves: Readonly<Record<'h200' | 'flat', Costs>> = {
  h200: { name: 'H200 at 512 x 512', callMs: h200, ...vae(h200[16]! / 16) },
  flat: { name: 'flat (CPU)', callMs: flat, ...vae(oneRowMs) },
};
