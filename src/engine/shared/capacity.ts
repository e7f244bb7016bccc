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

/**
 * The budget for a size that may not have been measured: that of the next larger one; beyond all in proportion to the pixels, rounded
 * down to a power of two, as those rows were measured.
 */
export function rowBudgetFor(capacities: readonly Capacity[], width: number, height: number): number {
  const nearest = nextLarger(capacities, width, height);
  return nearest ? inProportion(nearest.maxRows ?? 1, nearest, width * height) : 1;
}

/**
 * Calls of a size that may not have been measured: those of the next larger one; beyond all those of the largest, in proportion to the
 * pixels, with no more rows than need as much memory as was there when it was measured.
 */
export function callsFor(capacities: readonly Capacity[], width: number, height: number): Capacity['calls'] {
  const nearest = nextLarger(capacities, width, height);
  if (!nearest) return [];
  const share = (width * height) / (nearest.width * nearest.height);
  const most = inProportion(Math.max(...nearest.calls.map(({ rows }) => rows)), nearest, width * height);
  return nearest.calls.filter(({ rows }) => rows <= most).map(({ rows, ms }) => ({ rows, ms: ms * share }));
}

function inProportion(rows: number, measured: Capacity, pixels: number): number {
  const share = (measured.width * measured.height) / pixels;
  return share >= 1 ? rows : Math.max(1, 2 ** Math.floor(Math.log2(rows * share)));
}

/** What was measured at the next larger size; beyond all at the largest. */
function nextLarger(capacities: readonly Capacity[], width: number, height: number): Capacity | undefined {
  const bySize = [...capacities].sort((a, b) => a.width * a.height - b.width * b.height);
  return bySize.find((capacity) => capacity.width * capacity.height >= width * height) ?? bySize.at(-1);
}
