// What memory there is, and what a request will need of it.

import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import type { MemoryNeed } from '../shared/capacity.js';
import { cgroup } from './cgroup.js';

/**
 * What a request of so many pixels is likely to need. Convolutions grow with the pixels, attention with their square:
 * a * pixels + b * pixels^2 through the smallest and the largest that were measured; beyond one measurement, by the square.
 */
export function predictNeed(needs: readonly MemoryNeed[], pixels: number): number | undefined {
  const sorted = [...needs].sort((x, y) => x.pixels - y.pixels);
  const small = sorted[0];
  const large = sorted.at(-1);
  if (!small || !large) return undefined;
  const perPixel = (need: MemoryNeed) => need.bytes / need.pixels;
  if (small.pixels === large.pixels) {
    const ratio = pixels / large.pixels;
    return large.bytes * (ratio > 1 ? ratio ** 2 : 1);
  }
  const b = Math.max(0, (perPixel(large) - perPixel(small)) / (large.pixels - small.pixels));
  const a = Math.max(0, perPixel(large) - b * large.pixels);
  return a * pixels + b * pixels ** 2;
}

/** Of the free memory: what else lives on the machine wants some too. */
export const usableShare = 0.9;

/** Bytes that this machine or container can still give to its processes. */
export function freeMemory(): number {
  return Math.min(availableOfMachine(), cgroup.freeMemory());
}

/** Bytes that this machine or container has. */
export const machineMemory = (): number => Math.min(totalmem(), cgroup.memoryLimit());

function availableOfMachine(): number {
  try {
    return 1024 * Number(/^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))![1]);
  } catch {
    return freemem(); // not Linux
  }
}
