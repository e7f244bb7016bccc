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
  const nearest = nextLarger(capacities, width, height);
  if (!nearest) return 1;
  const share = Math.min(1, (nearest.width * nearest.height) / (width * height));
  return Math.max(1, Math.floor((nearest.maxRows ?? 1) * share));
}

/** Calls of a size that may not have been measured: those of the next larger one, or of the largest, in proportion to the pixels. */
export function callsFor(capacities: readonly Capacity[], width: number, height: number): Capacity['calls'] {
  const nearest = nextLarger(capacities, width, height);
  if (!nearest) return [];
  const share = (width * height) / (nearest.width * nearest.height);
  return nearest.calls.map(({ rows, ms }) => ({ rows, ms: ms * share }));
}

/** What was measured at the next larger size; beyond all at the largest. */
function nextLarger(capacities: readonly Capacity[], width: number, height: number): Capacity | undefined {
  const bySize = [...capacities].sort((a, b) => a.width * a.height - b.width * b.height);
  return bySize.find((capacity) => capacity.width * capacity.height >= width * height) ?? bySize.at(-1);
}
