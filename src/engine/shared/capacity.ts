// What a worker measured of a model when it loaded it, and how many rows follow from that.

/** Sets of LoRAs that a worker keeps folded at the same time, whatever the memory. */
export const mostFolded = 8;

/** What a worker found out about calls of one model at one size. */
export interface Capacity {
  readonly width: number;
  readonly height: number;
  /** Undefined where it was not measured, because MAX_CONCURRENT decides. */
  readonly maxRows: number | undefined;
  /** Wall time of UNet calls. */
  readonly calls: readonly { readonly rows: number; readonly ms: number }[];
}

/** What a request of so many pixels needed on top of the loaded model, bytes. */
export interface MemoryNeed {
  readonly pixels: number;
  readonly bytes: number;
}

/** The budget for a size that may not have been measured: that of the next larger one, or in proportion to the pixels beyond all. */
export function rowBudgetFor(capacities: readonly Capacity[], width: number, height: number): number {
  const pixels = width * height;
  const bySize = [...capacities].sort((a, b) => a.width * a.height - b.width * b.height);
  const larger = bySize.find((capacity) => capacity.width * capacity.height >= pixels);
  if (larger) return larger.maxRows ?? 1;
  const largest = bySize.at(-1);
  return largest ? Math.max(1, Math.floor(((largest.maxRows ?? 1) * largest.width * largest.height) / pixels)) : 1;
}
